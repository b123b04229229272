package app_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"bellhop/control"
	"bellhop/feed"
	"bellhop/store/sqlstore"
)

// BenchmarkImport10000 imports 10,000 people with number, desk phone and secret
// into an SQLite file, as bellhop import does.
func BenchmarkImport10000(b *testing.B) {
	var file strings.Builder
	file.WriteString("user,name,email,number,public,voicemail,device,kind\n")
	for i := range 10_000 {
		fmt.Fprintf(&file, "user%d,User %d,user%d@example.com,%d,+4989%d,yes,desk-%d,desk\n", i, i, i, 20_000+i, 700_000+i, 20_000+i)
	}
	for b.Loop() {
		b.StopTimer()
		st, err := sqlstore.New(b.Context(), sqlstore.Options{File: filepath.Join(b.TempDir(), "bellhop.db")})
		if err != nil {
			b.Fatal(err)
		}
		srv, err := control.New(control.Options{
			Documents: st, Sessions: st, Tokens: st, Sealer: openly{}, Feed: feed.NewStream(256), AdminToken: benchToken,
		})
		if err != nil {
			b.Fatal(err)
		}
		ask := func(method, path, media, body string) {
			r := httptest.NewRequestWithContext(b.Context(), method, path, strings.NewReader(body))
			r.Header.Set("Content-Type", media)
			r.Header.Set("Authorization", "Bearer "+benchToken)
			w := httptest.NewRecorder()
			if srv.Handler().ServeHTTP(w, r); w.Code >= http.StatusBadRequest {
				b.Fatalf("%s %s = %d %s", method, path, w.Code, w.Body)
			}
		}
		ask("PUT", "/v1/domains/bellhop.test", "application/json", `{"region":"DE"}`)
		b.StartTimer()
		ask("POST", "/v1/domains/bellhop.test/import?credentials=1", "text/csv", file.String())
		b.StopTimer()
		if err := st.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

const benchToken = "0123456789abcdef0123456789abcdef"

// openly seals nothing.
type openly struct{}

func (openly) Seal(_ string, plain, _ []byte) ([]byte, error) { return plain, nil }
