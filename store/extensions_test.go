package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

func TestExtensions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c, now := storetest.Client(t, s), moment()
		made, err := s.AddExtension(t.Context(), scheduler.Extension{
			ID: 77, ClientID: c.ID, Name: "n", Label: "l", CallerIDName: "Ada", ANI: "+390612345678", CreatedAt: now,
		})
		must(t, err)
		want := scheduler.Extension{ID: made.ID, ClientID: c.ID, Name: "n", Label: "l", CallerIDName: "Ada", ANI: "+390612345678", CreatedAt: now}
		stored := func() scheduler.Extension {
			t.Helper()
			got, err := s.Extension(t.Context(), c.ID, made.ID)
			must(t, err)
			return got
		}
		if made.ID == 77 || made != want || stored() != want {
			t.Fatalf("made %+v, stored %+v, want %+v", made, stored(), want)
		}
		t.Run("a change is kept, zero values too, and the rest of the row stays", func(t *testing.T) {
			got, err := s.UpdateExtension(t.Context(), c.ID, made.ID, func(e *scheduler.Extension) error {
				e.Name, e.Label, e.Blocked, e.ANI = "new", "", true, ""
				e.ClientID, e.CreatedAt, e.DeletedAt = "other", time.Time{}, now
				return nil
			})
			want.Name, want.Label, want.Blocked, want.ANI = "new", "", true, ""
			if err != nil || got != want || stored() != want {
				t.Errorf("answered %+v, %v; stored %+v; want %+v", got, err, stored(), want)
			}
		})
		t.Run("a change that is refused changes nothing", func(t *testing.T) {
			refused := errors.New("refused")
			_, err := s.UpdateExtension(t.Context(), c.ID, made.ID, func(e *scheduler.Extension) error {
				e.Name = "worse"
				return refused
			})
			if !errors.Is(err, refused) || stored() != want {
				t.Errorf("%v; stored %+v", err, stored())
			}
		})
		t.Run("lists are by id, by page or after one", func(t *testing.T) {
			second, third := storetest.Extension(t, s, c), storetest.Extension(t, s, c)
			for claim, tc := range map[string]struct {
				page scheduler.Page
				want []scheduler.ExtensionID
			}{
				"the first page":         {scheduler.Page{Number: 1, Size: 2}, []scheduler.ExtensionID{made.ID, second.ID}},
				"the second page":        {scheduler.Page{Number: 2, Size: 2}, []scheduler.ExtensionID{third.ID}},
				"from the end":           {scheduler.Page{Number: 1, Size: 2, Descending: true}, []scheduler.ExtensionID{third.ID, second.ID}},
				"after one":              {scheduler.Page{Number: 9, Size: 2, After: int64(made.ID)}, []scheduler.ExtensionID{second.ID, third.ID}},
				"after one from the end": {scheduler.Page{Size: 5, After: int64(third.ID), Descending: true}, []scheduler.ExtensionID{second.ID, made.ID}},
				"after the last":         {scheduler.Page{Size: 5, After: int64(third.ID)}, nil},
			} {
				list, err := s.Extensions(t.Context(), c.ID, tc.page)
				must(t, err)
				got := ids(list.Rows, func(e scheduler.Extension) scheduler.ExtensionID { return e.ID })
				if list.Rows == nil || list.Total != 3 || !slices.Equal(got, tc.want) {
					t.Errorf("%s: got %v of %d, want %v of 3", claim, got, list.Total, tc.want)
				}
			}
		})
		t.Run("a deleted one is gone", func(t *testing.T) {
			must(t, s.DeleteExtension(t.Context(), c.ID, made.ID, now))
			_, err := s.Extension(t.Context(), c.ID, made.ID)
			wantKind(t, "read", err, scheduler.NotFound)
			wantKind(t, "delete again", s.DeleteExtension(t.Context(), c.ID, made.ID, now), scheduler.NotFound)
			_, err = s.UpdateExtension(t.Context(), c.ID, made.ID, func(*scheduler.Extension) error { return nil })
			wantKind(t, "update", err, scheduler.NotFound)
			if list, err := s.Extensions(t.Context(), c.ID, firstPage); err != nil || list.Total != 2 {
				t.Errorf("%d are listed, %v", list.Total, err)
			}
		})
	})
}
