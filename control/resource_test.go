package control_test

import (
	"net/http"
	"testing"
)

func TestDocuments(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.want(a.do("root", "GET", test+"/users/ana", ""), 200, "")
	t.Log(got.body, got.header)
	got = a.want(a.do("ana", "PUT", "/v1/me/numbers/1001/forwarding", `{"all":{"both":{"enabled":true,"target":"1002"}}}`), http.StatusOK, "")
	t.Log(got.body)
}
