package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"bellhop/routing/directory"
)

// describe makes the OpenAPI 3.1 document and its page from the endpoints.
func describe(es []endpoint, version string) (openapi, page []byte, err error) {
	if version == "" {
		version = "dev"
	}
	reg := huma.NewMapRegistry("#/components/schemas/", schemaName)
	reg.RegisterTypeAlias(typeOf[directory.Duration](), typeOf[durationSchema]())
	reg.RegisterTypeAlias(typeOf[directory.Limit](), typeOf[limitSchema]())
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Bellhop control API", Version: version,
			Description: "JSON over HTTPS. Errors are problems (RFC 9457) whose type is the name of the rule that was broken. Objects carry an ETag; If-Match on PUT, PATCH and DELETE gives 412 when someone else was faster, If-None-Match: * when it exists already.",
			License:     &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
		},
		Servers: []*huma.Server{{URL: "/"}},
		Components: &huma.Components{
			Schemas: reg,
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"session": {Type: "apiKey", In: "cookie", Name: cookieName, Description: "set by POST /v1/session"},
				"bearer":  {Type: "http", Scheme: "bearer", Description: "from POST /v1/session?as=token, or an API token of /v1/tokens"},
			},
		},
		Tags: tags(),
	}
	problemRef := reg.Schema(typeOf[Problem](), true, "Problem")
	for _, e := range es {
		doc.AddOperation(operation(e, reg, problemRef))
	}
	if openapi, err = json.MarshalIndent(doc, "", " "); err != nil {
		return nil, nil, fmt.Errorf("openapi: %w", err)
	}
	page, err = docsHTML(es, doc)
	return append(bytes.TrimSpace(openapi), '\n'), page, err
}

func tags() []*huma.Tag {
	return []*huma.Tag{
		{Name: "session", Description: "Signing in, sessions and API tokens"},
		{Name: "directory", Description: "Domains, sites, users, numbers, devices, groups, trunks, classes"},
		{Name: "settings", Description: "Forwarding, do not disturb, presence, CallMe, remote destinations"},
		{Name: "me", Description: "The same for who is signed in"},
		{Name: "calls", Description: "Registrations, calls, records, events, and why calls go where they go"},
		{Name: "operation", Description: "The node itself"},
	}
}

// durationSchema stands for a duration in the document.
type durationSchema struct{}

// Schema implements [huma.SchemaProvider].
func (durationSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "ISO 8601, or milliseconds in a request", Examples: []any{"PT18S", 18000},
		OneOf: []*huma.Schema{{Type: huma.TypeString, Format: "duration"}, {Type: huma.TypeInteger}},
	}
}

// limitSchema stands for a limit in the document.
type limitSchema struct{}

// Schema implements [huma.SchemaProvider].
func (limitSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "0 or absent: the default", Examples: []any{4, "unlimited"},
		OneOf: []*huma.Schema{{Type: huma.TypeInteger}, {Type: huma.TypeString, Enum: []any{"unlimited"}}},
	}
}

// schemaName names the schema of a type: Problem, User, ListOfCallView.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := t.Name()
	if name == "" {
		name = hint
	}
	base, arg, generic := strings.Cut(name, "[")
	if generic {
		arg = strings.TrimSuffix(arg, "]")
		if i := strings.LastIndexByte(arg, '.'); i >= 0 && !strings.HasPrefix(arg, "map[") {
			arg = arg[i+1:]
		}
		if strings.HasPrefix(arg, "map[") {
			arg = "document"
		}
		base += "Of" + upper(arg)
	}
	return upper(base)
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// operation describes one endpoint.
func operation(e endpoint, reg huma.Registry, problemRef *huma.Schema) *huma.Operation {
	op := &huma.Operation{
		OperationID: e.id, Method: e.method, Path: e.path, Summary: e.summary, Tags: []string{e.tag},
		Description: "For: " + e.access.String() + ".", Responses: map[string]*huma.Response{},
	}
	if e.access != anyone {
		op.Security = []map[string][]string{{"session": {}}, {"bearer": {}}}
	}
	for name := range pathNames(e.path) {
		op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
	}
	for _, p := range e.query {
		hp := &huma.Param{Name: p.Name, In: "query", Description: p.Doc, Schema: &huma.Schema{Type: huma.TypeString}}
		if p.Example != "" {
			hp.Example = p.Example
		}
		op.Parameters = append(op.Parameters, hp)
	}
	if e.in != nil {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{}}
		media := e.takes
		if media == "" {
			media = "application/json"
		}
		op.RequestBody.Content[media] = &huma.MediaType{Schema: reg.Schema(e.in, true, e.id+"-request")}
		if e.patch {
			op.RequestBody.Content["application/merge-patch+json"] = op.RequestBody.Content["application/json"]
		}
	}
	op.Responses[strconv.Itoa(e.success())] = success(e, reg)
	if len(e.query) > 0 && e.query[0].Name == "at" {
		op.Responses["202"] = &huma.Response{
			Description: "Accepted: it is made at that time", Content: map[string]*huma.MediaType{"application/json": {Schema: reg.Schema(typeOf[changeView](), true, "Change")}},
		}
	}
	if e.conditional {
		conditional(e, op)
	}
	for _, status := range e.refusals() {
		op.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status), Content: map[string]*huma.MediaType{"application/problem+json": {Schema: problemRef}},
		}
	}
	return op
}

func success(e endpoint, reg huma.Registry) *huma.Response {
	res := &huma.Response{Description: http.StatusText(e.success())}
	switch {
	case e.out != nil:
		res.Content = map[string]*huma.MediaType{"application/json": {Schema: reg.Schema(e.out, true, e.id+"-answer")}}
	case e.media != "":
		res.Content = map[string]*huma.MediaType{e.media: {Schema: &huma.Schema{Type: huma.TypeString}}}
	}
	return res
}

// conditional adds the fields of conditional requests.
func conditional(e endpoint, op *huma.Operation) {
	text := &huma.Schema{Type: huma.TypeString}
	if e.method == http.MethodGet {
		op.Parameters = append(op.Parameters, &huma.Param{Name: "If-None-Match", In: "header", Schema: text, Description: "entity tag: 304 when it is still that"})
	} else {
		op.Parameters = append(op.Parameters, &huma.Param{Name: "If-Match", In: "header", Schema: text, Description: "entity tag: 412 when it is another by now"})
	}
	if e.method == http.MethodPut {
		op.Parameters = append(op.Parameters, &huma.Param{Name: "If-None-Match", In: "header", Schema: text, Description: "*: 412 when it exists"})
		op.Responses["201"] = &huma.Response{Description: "Created", Content: op.Responses["200"].Content}
	}
	if e.method != http.MethodDelete {
		op.Responses[strconv.Itoa(e.success())].Headers = map[string]*huma.Param{"ETag": {Schema: text, Description: "version of the object"}}
	}
}

// refusals are the statuses of the problems an endpoint may answer with.
func (e endpoint) refusals() []int {
	var out []int
	if e.access != anyone {
		out = append(out, http.StatusUnauthorized, http.StatusForbidden)
	}
	if strings.Contains(e.path, "{") {
		out = append(out, http.StatusNotFound)
	}
	if e.in != nil {
		out = append(out, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity)
	}
	if e.conditional && e.method != http.MethodGet {
		out = append(out, http.StatusConflict, http.StatusPreconditionFailed)
	}
	if strings.HasSuffix(e.path, "/"+actionHangup) {
		out = append(out, http.StatusConflict)
	}
	if e.id == "sign-in" {
		out = append(out, http.StatusUnauthorized, http.StatusTooManyRequests)
	}
	slices.Sort(out)
	return append(slices.Compact(out), http.StatusInternalServerError, http.StatusServiceUnavailable)
}

// pathNames yields the names in a path pattern, in order.
func pathNames(path string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for part := range strings.SplitSeq(path, "/") {
			if name, ok := strings.CutPrefix(part, "{"); ok && !yield(strings.TrimSuffix(name, "}")) {
				return
			}
		}
	}
}
