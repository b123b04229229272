package event

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"bellhop/routing/directory"
)

// featureType is the type of the bodies of package as-feature-event, which phones of
// several makers speak (BroadWorks SIP Access Side Extensions, "Device Feature Key
// Synchronization"); the elements are those of CSTA (ECMA-323).
const featureType = "application/x-as-feature-event+xml"

// csta is the namespace of the elements.
const csta = "http://www.ecma-international.org/standards/ecma-323/csta/ed3"

// boundary parts the documents of several features. It stands in none of them.
const boundary = "bellhop-features"

// maxFeatureBody bounds a body that changes a feature: a real one has 400 bytes.
const maxFeatureBody = 4096

// Errors of [ParseFeature].
var (
	// ErrFeature reports a body that is no change of a feature.
	ErrFeature = errors.New("event: not a change of a feature")
	// ErrFeatureUnknown reports a change of a feature that we do not have.
	ErrFeatureUnknown = errors.New("event: a feature we do not have")
)

// A setFeature is a body that changes a feature, as CSTA has it.
type setFeature struct {
	XMLName xml.Name
	On      *string `xml:"doNotDisturbOn"`
	Type    string  `xml:"forwardingType"`
	Active  *string `xml:"activateForward"`
	DN      string  `xml:"forwardDN"`
	Rings   string  `xml:"ringCount"`
}

// A FeatureChange is what a key of a phone asks for. Target nil leaves the target
// that is there.
type FeatureChange struct {
	Kind   FeatureKind
	On     bool
	Target *string
}

// ParseFeature reads the body of a SUBSCRIBE that changes a feature. Errors are
// [ErrFeature] and [ErrFeatureUnknown].
func ParseFeature(body []byte) (c FeatureChange, err error) {
	if len(body) > maxFeatureBody {
		return c, ErrFeature
	}
	d := xml.NewDecoder(bytes.NewReader(body))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // ISO-8859-1 is written by phones that mean ASCII
	var v setFeature
	if d.Decode(&v) != nil {
		return c, ErrFeature
	}
	switch v.XMLName.Local {
	case "SetDoNotDisturb":
		on, ok := truth(v.On)
		if !ok {
			return c, ErrFeature
		}
		return FeatureChange{Kind: FeatureDND, On: on}, nil
	case "SetForwarding":
		return parseForwarding(&v)
	default:
		return c, ErrFeatureUnknown
	}
}

func parseForwarding(v *setFeature) (c FeatureChange, err error) {
	on, ok := truth(v.Active)
	if !ok {
		return c, ErrFeature
	}
	c.On = on
	switch strings.TrimSpace(v.Type) {
	case "forwardImmediate":
		c.Kind = FeatureAll
	case "forwardBusy":
		c.Kind = FeatureBusy
	case "forwardNoAns":
		c.Kind = FeatureNoAnswer
	default:
		return c, ErrFeatureUnknown
	}
	if dn := strings.TrimSpace(v.DN); dn != "" {
		c.Target = &dn
	}
	return c, nil
}

func truth(s *string) (on, ok bool) {
	if s == nil {
		return false, false
	}
	switch strings.TrimSpace(*s) {
	case "true", "1":
		return true, true
	case "false", "0":
		return false, true
	default:
		return false, false
	}
}

// ref is the document that a change is written to: that of the user or of the
// number.
func (c *FeatureChange) ref(l *directory.Line) directory.Ref {
	if c.Kind == FeatureDND {
		return directory.Ref{Domain: l.Domain, Kind: directory.KindDND, Name: l.User}
	}
	return directory.Ref{Domain: l.Domain, Kind: directory.KindForwarding, Name: l.Number}
}

// apply makes the change in the document that is there: a phone knows no sides, so
// both get what it says. Switched off, a target stays.
func (c *FeatureChange) apply(body []byte) ([]byte, error) {
	if c.Kind == FeatureDND {
		return directory.Edit(directory.KindDND, body, func(d *directory.DND) { d.Enabled = c.On })
	}
	return directory.Edit(directory.KindForwarding, body, func(f *directory.Forwarding) {
		sides := &f.All
		switch c.Kind {
		case FeatureBusy:
			sides = &f.Busy
		case FeatureNoAnswer:
			sides = &f.NoAnswer
		case FeatureAll, FeatureDND:
		default:
		}
		for _, side := range [...]*directory.Forward{&sides.Internal, &sides.External} {
			if c.Target != nil {
				side.Target = *c.Target
			}
			side.Enabled = c.On && side.Target != ""
		}
	})
}

// appendFeature appends the document of one feature.
func appendFeature(dst []byte, f Feature) []byte {
	dst = append(dst, xmlHead...)
	if f.Kind == FeatureDND {
		return append(dst, `<DoNotDisturbEvent xmlns="`+csta+`"><device></device><doNotDisturbOn>`+
			strconv.FormatBool(f.On)+"</doNotDisturbOn></DoNotDisturbEvent>\n"...)
	}
	kind := map[FeatureKind]string{FeatureAll: "forwardImmediate", FeatureBusy: "forwardBusy", FeatureNoAnswer: "forwardNoAns"}[f.Kind]
	dst = append(dst, `<ForwardingEvent xmlns="`+csta+`"><device></device><forwardingType>`+kind+
		"</forwardingType><forwardStatus>"+strconv.FormatBool(f.On)+"</forwardStatus><forwardTo>"+escape(f.Target)+"</forwardTo>"...)
	if f.Kind == FeatureNoAnswer {
		dst = append(dst, "<ringCount>"+strconv.Itoa(f.Rings)+"</ringCount>"...)
	}
	return append(dst, "</ForwardingEvent>\n"...)
}

// appendFeatures appends the documents of features and returns their type: a
// multipart when there are several.
func appendFeatures(dst []byte, fs []Feature) (body []byte, contentType string) {
	if len(fs) == 1 {
		return appendFeature(dst, fs[0]), featureType
	}
	for _, f := range fs {
		dst = append(dst, "--"+boundary+"\r\nContent-Type: "+featureType+"\r\n\r\n"...)
		dst = append(appendFeature(dst, f), "\r\n"...)
	}
	return append(dst, "--"+boundary+"--\r\n"...), "multipart/mixed;boundary=" + boundary
}

// changedFeatures are those of now that are not in before; all, when none are known.
func changedFeatures(before, now []Feature) (out []Feature) {
	for _, f := range now {
		if !slices.Contains(before, f) {
			out = append(out, f)
		}
	}
	if len(before) != len(now) || len(out) == 0 {
		return now
	}
	return out
}
