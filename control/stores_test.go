package control_test

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"

	"bellhop/control"
	"bellhop/feed"
	"bellhop/store/memstore"
)

// TestOnTheStore runs the API on a real store: what one hands to the other fits
// as it is, and conditions, history, restore and explain hold there too.
func TestOnTheStore(t *testing.T) {
	t.Parallel()
	stream := feed.NewStream(256)
	st, err := memstore.New(memstore.Options{Feed: stream})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := control.New(control.Options{
		Documents: st, Sessions: st, Tokens: st, Records: st, Sealer: sealer{}, Registrations: st.Bindings, Calls: st.Calls,
		World: st.Cache, Feed: stream, AdminToken: adminToken,
	})
	if err != nil {
		t.Fatal(err)
	}
	control.CheapHashes(srv)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = st.Run(ctx) })
	wg.Go(func() { _ = srv.Run(ctx) })
	t.Cleanup(func() { stop(); wg.Wait(); _ = st.Close() })
	a := &api{t: t, srv: srv, http: httptest.NewTLSServer(srv.Handler()), token: map[string]string{"root": adminToken}}
	t.Cleanup(a.http.Close)

	for _, c := range [][2]string{
		{test, `{"region":"DE"}`},
		{test + "/users/ana", `{"password":"` + password + `"}`},
		{test + "/numbers/1001", `{"user":"ana","voicemail":true}`},
		{test + "/numbers/1002", `{}`},
		{test + "/devices/desk-1001", `{"user":"ana","lines":[{"number":"1001"}]}`},
	} {
		a.want(a.do("root", "PUT", c[0], c[1], "If-None-Match", "*"), 201, "")
	}
	a.want(a.do("root", "POST", test+"/devices/desk-1001/credentials", ""), 201, "")
	got := a.want(a.signIn("bellhop.test", "ana", password), 200, "").json(t)
	a.token["ana"], _ = got["token"].(string)
	a.want(a.do("ana", "PUT", "/v1/me/password", `{"old":"`+password+`","new":"Another-Horse-9"}`), 204, "")

	const path = "/v1/me/numbers/1001/forwarding"
	on := `{"all":{"both":{"enabled":true,"target":"1002"}}}`
	first := a.want(a.do("ana", "PUT", path, on, "If-Match", `"0.0"`), 200, "").header.Get("ETag")
	a.want(a.do("ana", "PUT", path, `{}`, "If-Match", first), 200, "")
	a.want(a.do("ana", "PUT", path, on, "If-Match", first), 412, "version.changed")
	explain := `{"domain":"bellhop.test","caller":"1002","called":"1001","assume":{"users/ana/dnd":{"enabled":true}}}`
	a.want(a.do("root", "POST", "/v1/explain", explain), 200, "")
	version := first[1 : len(first)-1]
	a.want(a.do("ana", "POST", path+"/history/"+version+"/restore", ""), 200, "")
	if rows := a.want(a.do("ana", "GET", path+"/history", ""), 200, "").ids(t, "version"); len(rows) != 3 {
		t.Errorf("history = %v", rows)
	}
	a.want(a.do("root", "DELETE", test+"/users/ana", ""), 409, "reference.in-use")
	a.want(a.do("root", "DELETE", test+"/devices/desk-1001", ""), 204, "")
	a.want(a.do("root", "DELETE", test+"/numbers/1001", ""), 204, "")
	a.want(a.do("root", "DELETE", test+"/users/ana", ""), 204, "")
	a.want(a.do("ana", "GET", "/v1/me", ""), 401, "")
	for _, list := range []string{"/registrations", "/calls", "/records"} {
		a.want(a.do("root", "GET", test+list, ""), 200, "")
	}
}
