package config

import (
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
)

// A Key is one thing that can be set.
type Key struct {
	Path    string // "sip.listeners[].bind"
	Default string // as the file would have it; "" for none
	Change  string // what a reload does: "reload" applies it, "restart" waits
	Doc     string
}

// Reference returns every key of the file, in the order of the documentation.
func Reference() []Key {
	var out []Key
	walk(reflect.ValueOf(Default()).Elem(), "", "", func(k Key, _ reflect.Value) { out = append(out, k) })
	return out
}

// walk visits the keys below v, lists before their elements' keys.
func walk(v reflect.Value, path, change string, visit func(Key, reflect.Value)) {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		k := Key{Path: join(path, tag.Get("yaml")), Change: change, Doc: tag.Get("doc")}
		if c := tag.Get("change"); c != "" {
			k.Change = c
		}
		field := v.Field(i)
		if isSection(field) {
			walk(field, k.Path, k.Change, visit)
			continue
		}
		k.Default = show(field)
		visit(k, field)
		if field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct {
			elem := reflect.New(field.Type().Elem()).Elem()
			if l, ok := reflect.TypeAssert[*Listener](elem.Addr()); ok {
				*l = DefaultListener()
			}
			walk(elem, k.Path+"[]", k.Change, visit)
		}
	}
}

// show renders a default as the file would have it.
func show(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case slog.Level:
		return strings.ToLower(x.String())
	case []string:
		return strings.Join(x, ", ")
	case bool:
		return strconv.FormatBool(x)
	default:
		if v.IsZero() {
			return ""
		}
		return fmt.Sprint(x)
	}
}

// Changes are the paths at which two configurations differ.
type Changes struct {
	Applied []string `json:"applied"` // a reload puts these in force
	Waiting []string `json:"waiting"` // these need a restart
}

// Diff says what changed from old to new. A list counts as one thing.
func Diff(old, new *Config) Changes { //nolint:predeclared // the words for it
	values := make(map[string]any)
	walk(reflect.ValueOf(old).Elem(), "", "", func(k Key, v reflect.Value) { values[k.Path] = v.Interface() })
	ch := Changes{Applied: []string{}, Waiting: []string{}}
	walk(reflect.ValueOf(new).Elem(), "", "", func(k Key, v reflect.Value) {
		switch {
		case strings.Contains(k.Path, "[]") || reflect.DeepEqual(values[k.Path], v.Interface()):
		case k.Change == "reload":
			ch.Applied = append(ch.Applied, k.Path)
		default:
			ch.Waiting = append(ch.Waiting, k.Path)
		}
	})
	return ch
}
