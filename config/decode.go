package config

import (
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// A decoder reads the syntax tree of a file into a Config. It goes on after a
// fault, so that one run reports all of them.
type decoder struct {
	lookup func(name string) (value string, ok bool) // of the environment
	faults []Fault
	lines  map[string]int // path to line
}

func (d *decoder) fault(path string, line int, format string, args ...any) {
	d.faults = append(d.faults, Fault{Line: line, Path: path, Message: fmt.Sprintf(format, args...)})
}

// line returns the line of path, or of the nearest thing around it.
func (d *decoder) line(path string) int {
	for {
		if line, ok := d.lines[path]; ok {
			return line
		}
		end := strings.LastIndexAny(path, ".[")
		if end < 0 {
			return 0
		}
		path = path[:end]
	}
}

// bounded reports whether text is small and flat enough to be parsed.
func (d *decoder) bounded(text []byte) bool {
	if len(text) > maxFile {
		d.fault("", 0, "longer than %d bytes", maxFile)
		return false
	}
	line, column, depth := 1, 0, 0
	for _, c := range text {
		column++
		switch c {
		case '\n', '\r':
			column = 0
			if c == '\n' {
				line++
			}
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		}
		if column > maxLine {
			d.fault("", line, "a line of over %d bytes", maxLine)
			return false
		}
		if depth > maxDepth {
			d.fault("", line, "over %d brackets open", maxDepth)
			return false
		}
	}
	return true
}

// file decodes the text of a file over c; false: the text is no YAML mapping,
// and what it says is not known.
func (d *decoder) file(text []byte, c *Config) bool {
	f, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		line, message := 0, err.Error()
		if se, ok := errors.AsType[*yaml.SyntaxError](err); ok {
			line, message = se.Token.Position.Line, se.Message
		}
		d.fault("", line, "%s", message)
		return false
	}
	docs := 0
	for _, doc := range f.Docs {
		if doc.Body == nil {
			continue
		}
		if docs++; docs > 1 {
			d.fault("", doc.Body.GetToken().Position.Line, "a second YAML document; there must be one")
			return true
		}
		if d.value("", doc.Body, reflect.ValueOf(c).Elem()); slices.ContainsFunc(d.faults, func(f Fault) bool { return f.Path == "" }) {
			return false
		}
	}
	return true
}

// value decodes node, found at path, into v.
func (d *decoder) value(path string, node ast.Node, v reflect.Value) {
	line := node.GetToken().Position.Line
	if _, ok := d.lines[path]; !ok && path != "" {
		d.lines[path] = line
	}
	switch n := node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.fault(path, line, "anchors, aliases and tags are not read; write the value out")
		return
	case *ast.CommentGroupNode:
		return
	case *ast.NullNode:
		// A section with every key commented out is an empty one.
		if !isSection(v) {
			d.fault(path, line, "has no value")
		}
		return
	case ast.MapNode:
		if !isSection(v) {
			d.fault(path, line, "is a mapping; want %s", wanted(v))
			return
		}
		d.section(path, n, v)
		return
	case *ast.SequenceNode:
		if v.Kind() != reflect.Slice {
			d.fault(path, line, "is a list; want %s", wanted(v))
			return
		}
		d.list(path, n, v)
		return
	}
	d.scalar(path, node, v)
}

func (d *decoder) section(path string, node ast.MapNode, v reflect.Value) {
	fields := make(map[string]reflect.Value)
	var names []string
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		fields[name] = v.Field(i)
		names = append(names, name)
	}
	seen := make(map[string]int)
	for it := node.MapRange(); it.Next(); {
		name := it.Key().GetToken().Value
		line := it.Key().GetToken().Position.Line
		at := join(path, name)
		field, known := fields[name]
		switch {
		case !known:
			d.fault(at, line, "no such key%s", suggest(name, names))
			continue
		case seen[name] > 0:
			d.fault(at, line, "already set in line %d", seen[name])
			continue
		}
		seen[name] = line
		d.lines[at] = line
		d.value(at, it.Value(), field)
	}
}

func (d *decoder) list(path string, node *ast.SequenceNode, v reflect.Value) {
	v.Set(reflect.MakeSlice(v.Type(), 0, len(node.Values)))
	for i, item := range node.Values {
		e := reflect.New(v.Type().Elem()).Elem()
		if l, ok := reflect.TypeAssert[*Listener](e.Addr()); ok {
			*l = DefaultListener()
		}
		d.value(path+"["+strconv.Itoa(i)+"]", item, e)
		v.Set(reflect.Append(v, e))
	}
}

func (d *decoder) scalar(path string, node ast.Node, v reflect.Value) {
	line := node.GetToken().Position.Line
	if isSection(v) || v.Kind() == reflect.Slice {
		d.fault(path, line, "is a single value; want %s", wanted(v))
		return
	}
	text := node.GetToken().Value
	if lit, ok := node.(*ast.LiteralNode); ok {
		text = strings.TrimSpace(lit.Value.Value)
	}
	text, err := expand(text, d.lookup)
	if err == nil {
		err = set(v, text)
	}
	if err != nil {
		d.fault(path, line, "%s", err)
	}
}

// expand replaces ${NAME} by the environment's value. What stands in the
// environment is not expanded again.
func expand(s string, lookup func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "${")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", fmt.Errorf("${%s has no }", after)
		}
		value, ok := lookup(name)
		if !ok {
			return "", fmt.Errorf("${%s} is not in the environment", name)
		}
		b.WriteString(value)
		s = rest
	}
}

// set reads text into a single value.
func set(v reflect.Value, text string) error {
	switch p := v.Addr().Interface().(type) {
	case *netip.AddrPort:
		ap, err := netip.ParseAddrPort(text)
		if err != nil {
			return fmt.Errorf("%q is no address and port; write 192.0.2.1:5060 or [2001:db8::1]:5060", text)
		}
		*p = ap
		return nil
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	}
	switch v.Kind() { //nolint:exhaustive // the kinds that Config has; anything else is a mistake of ours
	case reflect.String:
		v.SetString(text)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is no whole number", text)
		}
		v.SetInt(int64(n))
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(text == "true")
	default:
		panic("config: no way to read a " + v.Type().String())
	}
	return nil
}

// isSection reports whether v is a struct with keys of its own.
func isSection(v reflect.Value) bool {
	if v.Kind() != reflect.Struct {
		return false
	}
	_, single := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr())
	return !single
}

func wanted(v reflect.Value) string {
	switch {
	case isSection(v):
		return "a mapping"
	case v.Kind() == reflect.Slice:
		return "a list"
	default:
		return "a single value"
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// suggest names the key that was probably meant.
func suggest(name string, names []string) string {
	same := func(n string) bool {
		return strings.EqualFold(strings.NewReplacer("_", "", "-", "").Replace(n), strings.NewReplacer("_", "", "-", "").Replace(name))
	}
	if i := slices.IndexFunc(names, same); i >= 0 {
		return "; did you mean " + names[i] + "?"
	}
	return "; known here: " + strings.Join(names, ", ")
}
