package app_test

import (
	"testing"

	"bellhop/cmd/internal/app"
	"bellhop/routing/directory"
)

// Numbers of a demo folder from before there were classes get that of everybody,
// once: what people change later stays.
func TestDemoFolderWithoutClasses(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	ref := func(kind directory.Kind, name string) directory.Ref {
		return directory.Ref{Domain: "demo.test", Kind: kind, Name: name}
	}
	write := func(ref directory.Ref, body string) {
		t.Helper()
		if _, err := app.Store(h.App).Apply(t.Context(), directory.Author{Actor: "test"}, []directory.Write{{Ref: ref, Body: []byte(body)}}); err != nil {
			t.Fatal(err)
		}
	}
	class := func() string {
		t.Helper()
		doc, err := app.Store(h.App).Get(t.Context(), ref(directory.KindNumber, "1001"))
		if err != nil {
			t.Fatal(err)
		}
		n, err := directory.Parse[directory.Number](directory.KindNumber, doc.Body)
		if err != nil {
			t.Fatal(err)
		}
		return n.ClassOfService
	}
	write(directory.Ref{Kind: directory.KindDomain, Name: "demo.test"}, `{"region":"DE","realm":"demo.test"}`)
	write(ref(directory.KindUser, "ana"), `{}`)
	write(ref(directory.KindNumber, "1001"), `{"user":"ana"}`)
	demo := app.Demo{Domain: "demo.test", Users: []app.DemoUser{{User: "ana", Number: "1001", Devices: []app.DemoDevice{{Name: "desk-1001", Password: "Pass-word-1"}}}}}
	for i, want := range []string{"all", ""} {
		if err := h.ProvisionDemo(t.Context(), demo); err != nil {
			t.Fatal(err)
		}
		if got := class(); got != want {
			t.Errorf("class %q after start %d, want %q", got, i+1, want)
		}
		write(ref(directory.KindNumber, "1001"), `{"user":"ana"}`) // somebody took it away
	}
}
