package storetest

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"bellhop/routing/directory"
)

func sessions(t *testing.T, fresh func(*testing.T) Parts) {
	t.Helper()
	at := time.Date(2030, 11, 3, 10, 0, 0, 0, time.UTC)
	t.Run("sign-ins", func(t *testing.T) {
		t.Parallel()
		s := fresh(t).Store
		want := directory.Session{
			Hash: "aa", Domain: Domain, User: "ana", Role: directory.RoleDomainAdmin, Created: at, LastSeen: at,
			Expires: at.Add(time.Hour), From: "192.0.2.7", Agent: "browser", MustChange: true,
		}
		other := directory.Session{Hash: "bb", Domain: "b.test", User: "ana", Expires: at}
		for _, v := range []directory.Session{want, other} {
			if err := s.SaveSession(t.Context(), v); err != nil {
				t.Fatal(err)
			}
		}
		want.LastSeen = at.Add(time.Minute)
		if err := s.TouchSession(t.Context(), "aa", want.LastSeen); err != nil {
			t.Fatal(err)
		}
		got, err := s.Session(t.Context(), "aa")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("Session = %v (-want +got):\n%s", err, diff)
		}
		if vs, err := s.Sessions(t.Context(), Domain, "ana"); err != nil || len(vs) != 1 || vs[0].Hash != "aa" {
			t.Errorf("Sessions = %v, %v, want aa", vs, err)
		}
		for range 2 {
			if err := s.DeleteSession(t.Context(), "aa"); err != nil {
				t.Error(err)
			}
		}
		if err := s.TouchSession(t.Context(), "aa", at); err != nil {
			t.Errorf("TouchSession of none = %v", err)
		}
		if _, err := s.Session(t.Context(), "aa"); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("Session after its end = %v, want %v", err, directory.ErrNotFound)
		}
	})
	t.Run("tokens", func(t *testing.T) {
		t.Parallel()
		s := fresh(t).Store
		want := directory.Token{
			ID: "1", Hash: "aa", Name: "ops", Role: directory.RoleDomainAdmin, Domain: Domain,
			Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Created: at, Expires: at.Add(time.Hour),
		}
		if err := s.SaveToken(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		taken := want
		taken.Hash = "bb"
		if err := s.SaveToken(t.Context(), taken); !errors.Is(err, directory.ErrExists) {
			t.Errorf("SaveToken with a taken name = %v, want %v", err, directory.ErrExists)
		}
		taken.Domain = "b.test"
		if err := s.SaveToken(t.Context(), taken); err != nil {
			t.Errorf("SaveToken with the name in another domain = %v", err)
		}
		want.LastUsed = at.Add(time.Minute)
		if err := s.TouchToken(t.Context(), "aa", want.LastUsed); err != nil {
			t.Fatal(err)
		}
		got, err := s.Token(t.Context(), "aa")
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); err != nil || diff != "" {
			t.Errorf("Token = %v (-want +got):\n%s", err, diff)
		}
		if vs, err := s.Tokens(t.Context(), Domain); err != nil || len(vs) != 1 || vs[0].Hash != "aa" {
			t.Errorf("Tokens = %v, %v, want aa", vs, err)
		}
		if err := s.DeleteToken(t.Context(), "aa"); err != nil {
			t.Error(err)
		}
		if _, err := s.Token(t.Context(), "aa"); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("Token after its end = %v, want %v", err, directory.ErrNotFound)
		}
	})
}
