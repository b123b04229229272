package control

import (
	"net/http"

	"bellhop/feed"
)

func explainEndpoint() endpoint {
	return endpoint{method: http.MethodPost, path: "/v1/explain", id: "explain", tag: "calls", summary: "What would become of a call, and why", access: person, handle: (*Server).explain}
}

func (s *Server) explain(q *request) (reply, error) { return reply{}, absent("explain") }

func words(st feed.Step) string { return "" }
