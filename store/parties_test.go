package store_test

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

func TestMasterIsMadeOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		if has, err := s.HasAccount(t.Context()); err != nil || has {
			t.Fatalf("a new database has an account: %v, %v", has, err)
		}
		now := moment()
		made := func(name string) (scheduler.Account, scheduler.User) {
			a := scheduler.Account{ID: scheduler.AccountID(scheduler.NewGUID(now)), CompanyName: name, TimeZone: "Europe/Rome", CreatedAt: now}
			return a, scheduler.User{ID: scheduler.UserID(scheduler.NewGUID(now)), AccountID: a.ID, Username: name, PasswordHash: "h", CreatedAt: now}
		}
		var names []string
		for i := range 16 {
			names = append(names, fmt.Sprintf("node-%d", i))
		}
		var group, pinged sync.WaitGroup
		pinged.Add(len(names))
		for _, name := range names {
			group.Go(func() {
				account, user := made(name)
				_ = s.Ping(t.Context()) // a connection each, so that they meet
				pinged.Done()
				pinged.Wait()
				if err := s.EnsureMaster(t.Context(), account, user); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if has, err := s.HasAccount(t.Context()); err != nil || !has {
			t.Fatalf("no account: %v, %v", has, err)
		}
		found := 0
		for _, name := range names {
			user, err := s.UserByName(t.Context(), name)
			if err != nil {
				wantKind(t, name, err, scheduler.NotFound)
				continue
			}
			found++
			account, err := s.Account(t.Context(), user.AccountID)
			if err != nil || account.CompanyName != name || account.TimeZone != "Europe/Rome" || !account.CreatedAt.Equal(now) || account.ParentID != nil {
				t.Errorf("account %+v, %v", account, err)
			}
		}
		if found != 1 {
			t.Errorf("%d masters were made, want 1", found)
		}
		_, err := s.UserByName(t.Context(), "NODE-1")
		wantKind(t, "a name in another case", err, scheduler.NotFound)
	})
}

func TestClientsAreThoseOfTheAccountAndBelow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now := moment()
		first := storetest.Client(t, s)
		// master ← child ← grandchild, and a stranger without a parent
		account := func(name string, parent *scheduler.AccountID) scheduler.Account {
			a := scheduler.Account{ID: scheduler.AccountID(scheduler.NewGUID(now)), ParentID: parent, CompanyName: name, TimeZone: "UTC", CreatedAt: now}
			must(t, store.Insert(s, &a))
			return a
		}
		client := func(a scheduler.Account) scheduler.Client {
			u := scheduler.User{ID: scheduler.UserID(scheduler.NewGUID(now)), AccountID: a.ID, Username: a.CompanyName, PasswordHash: "h", CreatedAt: now}
			must(t, store.Insert(s, &u))
			c := scheduler.Client{ID: scheduler.ClientID(scheduler.NewGUID(now)), AccountID: a.ID, UserID: u.ID, Name: a.CompanyName, SecretHash: "h", CreatedAt: now}
			must(t, s.AddClient(t.Context(), c, webhooks.NewSecret(now)))
			return c
		}
		master := storetest.MasterID
		child := account("child", &master)
		grandchild := account("grandchild", &child.ID)
		stranger := account("stranger", nil)
		clients := map[string]scheduler.Client{
			"master": first, "child": client(child), "grandchild": client(grandchild), "stranger": client(stranger),
		}
		for name, want := range map[scheduler.AccountID][]string{
			master:        {"master", "child", "grandchild"},
			child.ID:      {"child", "grandchild"},
			grandchild.ID: {"grandchild"},
			stranger.ID:   {"stranger"},
		} {
			list, err := s.Clients(t.Context(), name, firstPage)
			must(t, err)
			if list.Total != len(want) || len(list.Rows) != len(want) {
				t.Errorf("account %s has %d clients, total %d, want %v", name, len(list.Rows), list.Total, want)
			}
			for who, c := range clients {
				got, err := s.ClientOf(t.Context(), name, c.ID)
				if slices.Contains(want, who) {
					if err != nil || !reflect.DeepEqual(got, c) {
						t.Errorf("client of %s for %s: %+v, %v", who, name, got, err)
					}
				} else {
					wantKind(t, who, err, scheduler.NotFound)
				}
			}
		}
		two, err := s.Clients(t.Context(), master, scheduler.Page{Number: 2, Size: 2, Descending: true})
		smallest := min(clients["master"].ID, clients["child"].ID, clients["grandchild"].ID)
		if err != nil || two.Total != 3 || len(two.Rows) != 1 || two.Rows[0].ID != smallest {
			t.Errorf("the last page from the end: %+v, %v", two, err)
		}
	})
}

func TestAddClient(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := storetest.Client(t, s)
		got, err := s.ClientByID(t.Context(), c.ID)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("got %+v, %v, want %+v", got, err, c)
		}
		for claim, id := range map[string]scheduler.ClientID{
			"an unknown id is not found": scheduler.ClientID(scheduler.NewGUID(moment())),
			"what is no GUID neither":    "nonsense",
		} {
			_, err = s.ClientByID(t.Context(), id)
			wantKind(t, claim, err, scheduler.NotFound)
		}
		now := moment()
		a := scheduler.Account{ID: scheduler.AccountID(scheduler.NewGUID(now)), TimeZone: "UTC", CreatedAt: now}
		u := scheduler.User{ID: scheduler.UserID(scheduler.NewGUID(now)), AccountID: a.ID, Username: "u", PasswordHash: "h", CreatedAt: now}
		must(t, store.Insert(s, &a))
		must(t, store.Insert(s, &u))
		for claim, user := range map[string]scheduler.UserID{
			"a user of nobody":          scheduler.UserID(scheduler.NewGUID(now)),
			"a user of another account": u.ID,
			"a user that is no GUID":    "nonsense",
		} {
			c.ID, c.UserID = scheduler.ClientID(scheduler.NewGUID(now)), user
			wantKind(t, claim, s.AddClient(t.Context(), c, webhooks.NewSecret(now)), scheduler.Invalid)
			_, err = s.ClientByID(t.Context(), c.ID)
			wantKind(t, claim+" makes no client", err, scheduler.NotFound)
		}
	})
}
