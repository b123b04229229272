package sqlstore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/store/sqlstore"
	"bellhop/store/storetest"
)

// TestDiskReserve walks down to a full disk and back.
func TestDiskReserve(t *testing.T) {
	t.Parallel()
	o := in(t.TempDir())
	o.Reserve = 1 << 20
	s := open(t, o)
	reserve := filepath.Join(filepath.Dir(o.File), "bellhop.db.reserve")
	const total = 1000 << 20
	if _, _, ok := sqlstore.Room(t.TempDir()); !ok {
		t.Skip("the room on a disk is not known here")
	}
	for _, step := range []struct {
		name     string
		free     uint64 // MiB
		story    bool
		reserved bool
		reason   string
	}{
		{"plenty", 500, true, true, ""},
		{"just enough", 50, true, true, ""},
		{"nearly full", 49, false, true, "stories of calls are not kept"},
		{"a little more", 55, false, true, "stories of calls are not kept"},
		{"full", 0, false, false, "live on the reserve"},
		{"what the reserve left", 1, false, false, "live on the reserve"},
		{"a little more again", 55, false, false, "live on the reserve"},
		{"room", 60, true, true, ""},
	} {
		sqlstore.SetRoom(t.Context(), s, step.free<<20, total)
		c := storetest.Call(s.Calls, "1001", "1002", "1002", time.Now())
		if err := s.SaveRecords(t.Context(), []*feed.Call{c}); err != nil {
			t.Fatal(err)
		}
		got, err := s.Record(t.Context(), storetest.Domain, c.ID)
		if err != nil || len(got.Story) > 0 != step.story || got.Called != "1002" {
			t.Errorf("%s: the record is %+v, %v, want it with a story: %v", step.name, got, err, step.story)
		}
		if len(c.Story) == 0 {
			t.Errorf("%s: the call of somebody else was changed", step.name)
		}
		info, err := os.Stat(reserve)
		if reserved := err == nil && info.Size() == o.Reserve; reserved != step.reserved || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: reserve %v, %v, want %v", step.name, reserved, err, step.reserved)
		}
		var detail string
		for _, r := range s.Reasons() {
			detail += r.Part + ": " + r.Detail
		}
		if !strings.Contains(detail, step.reason) || (detail == "") != (step.reason == "") {
			t.Errorf("%s: reasons %q, want %q", step.name, detail, step.reason)
		}
	}
}
