package control

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// docsPolicy lets the page of the docs have its own style and nothing else: no
// script, nothing from anywhere.
const docsPolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

//go:embed docs.html
var docsTemplate string

// docsHTML renders the document for people, at start, once.
func docsHTML(es []endpoint, doc *huma.OpenAPI) ([]byte, error) {
	type group struct {
		Name, Description string
		Endpoints         []docsEndpoint
	}
	type schema struct {
		Name   string
		Fields []docsField
	}
	all := doc.Components.Schemas.Map()
	var groups []group
	for _, tag := range doc.Tags {
		g := group{Name: tag.Name, Description: tag.Description}
		for _, e := range es {
			if e.tag == tag.Name {
				g.Endpoints = append(g.Endpoints, docsOf(e, all))
			}
		}
		groups = append(groups, g)
	}
	var schemas []schema
	for _, name := range slices.Sorted(maps.Keys(all)) {
		schemas = append(schemas, schema{Name: name, Fields: docsFields(all[name])})
	}
	t, err := template.New("docs").Parse(docsTemplate)
	if err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{"Title": doc.Info.Title, "Version": doc.Info.Version, "About": doc.Info.Description, "Groups": groups, "Schemas": schemas})
	return b.Bytes(), err
}

type docsEndpoint struct {
	ID, Method, Path, Summary, For string
	In, Out                        docsRef
	Params                         []param
}

// A docsRef names a body; Linked: its schema is on the page.
type docsRef struct {
	Name   string
	Linked bool
}

func docsOf(e endpoint, schemas map[string]*huma.Schema) docsEndpoint {
	ref := func(t reflect.Type, hint string) docsRef {
		name := schemaName(t, hint)
		return docsRef{Name: name, Linked: schemas[name] != nil}
	}
	d := docsEndpoint{ID: e.id, Method: e.method, Path: e.path, Summary: e.summary, For: e.access.String(), Params: e.query, Out: docsRef{Name: e.media}}
	if e.in != nil {
		d.In = ref(e.in, e.id+"-request")
	}
	if e.out != nil {
		d.Out = ref(e.out, e.id+"-answer")
	}
	return d
}

type docsField struct{ Name, Type, Doc string }

func docsFields(s *huma.Schema) []docsField {
	fields := make([]docsField, 0, len(s.Properties))
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		doc := p.Description
		if len(p.Enum) > 0 {
			doc = strings.TrimSpace(doc + " " + strings.Trim(fmt.Sprint(p.Enum), "[]"))
		}
		if p.ReadOnly {
			doc = strings.TrimSpace("read only; " + doc)
		}
		if p.WriteOnly {
			doc = strings.TrimSpace("write only; " + doc)
		}
		fields = append(fields, docsField{Name: name, Type: docsType(p), Doc: doc})
	}
	return fields
}

// docsType is the type of a field in a word.
func docsType(s *huma.Schema) string {
	switch {
	case s.Ref != "":
		return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	case s.Type == huma.TypeArray && s.Items != nil:
		return "list of " + docsType(s.Items)
	case s.Format != "" && s.Type == huma.TypeString:
		return s.Format
	case len(s.OneOf) > 0:
		return docsType(s.OneOf[0])
	case s.Type == "":
		return "any"
	default:
		return s.Type
	}
}
