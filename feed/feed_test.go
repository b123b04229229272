package feed_test

import (
	"testing"

	"bellhop/feed"
)

// TestTap: a tap is told of what does not fit in the stream as well, in order.
func TestTap(t *testing.T) {
	t.Parallel()
	s := feed.NewStream(1)
	var got []string
	s.Tap(func(ev feed.Event) { got = append(got, ev.(feed.SettingChanged).Name) })
	for _, name := range []string{"a", "b", "c"} {
		if room := s.Publish(feed.SettingChanged{Name: name}); room != (name == "a") {
			t.Errorf("Publish(%s) = %t", name, room)
		}
	}
	if len(got) != 3 || got[0] != "a" || got[2] != "c" {
		t.Errorf("the tap got %v, want a b c", got)
	}
	if n := len(s.Drain(nil, 10)); n != 1 {
		t.Errorf("%d events in the stream, want 1", n)
	}
	var none *feed.Stream
	none.Tap(func(feed.Event) { t.Error("a nil stream has a tap") })
	none.Publish(feed.SettingChanged{})
}
