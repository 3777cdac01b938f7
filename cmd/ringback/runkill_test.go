package main

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// batchOfRun is how many tasks a run posts: enough for it to take a while, and
// fewer than a page has, so that one too many is seen.
const batchOfRun = 999

// batchRun registers a POST_TASKS that is to be run now, of tasks that do not
// start soon and that nothing but the run itself keeps from being posted twice.
func (c *cluster) batchRun(name string) (path string) {
	c.t.Helper()
	one := fmt.Sprintf(`{"name":%q,"a_number":"101","b_number":"102","extension_id":%d,"start_time_utc":86400}`, name, c.client.extension)
	params := fmt.Sprintf(`{"scheduler_id":%d,"tasks":[%s]}`, c.client.queue, one+strings.Repeat(","+one, batchOfRun-1))
	var made struct {
		ResponseData struct{ Detail struct{ ID string } }
	}
	err := c.client.must(http.StatusOK, "POST", "/api/v2/admin/tasks/account", map[string]any{
		"TaskID": scheduler.JobPostTasks, "Frequency": "NONE", "Parameters": params, "ContentType": "application/json",
	}, &made)
	if err != nil {
		c.t.Fatal(err)
	}
	return "/api/v2/admin/tasks/account/" + made.ResponseData.Detail.ID + "/runs"
}

// postedOnce wants the one run there is to have succeeded, and to have posted its
// tasks once.
func (c *cluster) postedOnce(name, runs string) {
	c.t.Helper()
	err := await(patience, func() error {
		var told struct {
			ResponseData struct{ Detail []struct{ Result string } }
		}
		if err := c.client.must(http.StatusOK, "GET", runs, nil, &told); err != nil {
			return err
		}
		if all := told.ResponseData.Detail; len(all) != 1 || all[0].Result != "SUCCEEDED" {
			return fmt.Errorf("the runs are %+v", all)
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	var posted []wireTask
	if err := c.client.must(http.StatusOK, "GET", c.client.tasks()+"?per_page=1000&name="+url.QueryEscape(name), nil, &posted); err != nil {
		c.t.Fatal(err)
	}
	if len(posted) != batchOfRun {
		c.t.Errorf("%s: %d tasks are posted, want %d", name, len(posted), batchOfRun)
	}
}

// Two nodes on one database: whichever does a run is killed when all of it but the
// commit is done, and another time when the commit is on its way, of which it never
// learns. It is done once, by whoever comes first, as soon as the node is back.
func TestNodesAreKilledAtTheMomentOfARun(t *testing.T) {
	t.Parallel()
	database := storetest.PostgresURL(t)
	c := &cluster{t: t, dir: t.TempDir()}
	var nodes [2]*program
	var proxies [2]*storetest.Proxy
	start := func(i int) {
		nodes[i] = c.node(fmt.Sprintf("n%d", i), proxies[i].URL(), "RINGBACK_LEASE=1s")
	}
	for i := range nodes {
		proxies[i] = storetest.NewProxy(t, database)
		start(i)
	}
	var err error
	if c.client, err = newTenant(nodes[0].url, 1); err != nil {
		t.Fatal(err)
	}
	const ends = `UPDATE "account_task_runs"`
	for name, now := range map[string]func(s storetest.Statement, posts bool) bool{
		"before its commit": func(s storetest.Statement, posts bool) bool { return posts && strings.HasPrefix(s.SQL, ends) },
		"at its commit":     func(s storetest.Statement, posts bool) bool { return posts && s.IsCommit(ends) },
	} {
		var once atomic.Bool
		killed := make(chan int, 1)
		for i := range nodes {
			proxies[i].Look(func(s storetest.Statement) storetest.Fate {
				posts := false
				for _, sql := range s.Before {
					posts = posts || strings.HasPrefix(sql, "COPY tasks ")
				}
				if now(s, posts) && once.CompareAndSwap(false, true) {
					_, _ = nodes[i].stop(syscall.SIGKILL)
					killed <- i
				}
				return storetest.Pass
			})
		}
		runs := c.batchRun(name)
		select {
		case i := <-killed:
			start(i)
			c.client.base = nodes[i].url
		case <-time.After(patience):
			t.Fatalf("nobody was killed %s", name)
		}
		c.postedOnce(name, runs)
	}
}

// One node on SQLite is killed while a run is under way, and started again.
func TestTheNodeIsKilledAtTheMomentOfARun(t *testing.T) {
	t.Parallel()
	c := &cluster{t: t, dir: t.TempDir()}
	path := filepath.Join(c.dir, "ringback.db")
	node := c.node("n0", "sqlite://"+path)
	var err error
	if c.client, err = newTenant(node.url, 1); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	underWay := func() (is bool, err error) {
		err = db.QueryRowContext(t.Context(), "SELECT EXISTS (SELECT 1 FROM account_task_runs WHERE state = 'running' AND lease_token <> '')").Scan(&is)
		return is, err
	}
	const rounds = 5
	for round := range rounds {
		name := fmt.Sprintf("round %d", round)
		runs := c.batchRun(name)
		err := await(patience, func() error {
			if is, err := underWay(); err != nil || !is {
				return fmt.Errorf("no run is under way, %w", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := node.stop(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		cut, err := underWay()
		if err != nil {
			t.Fatal(err)
		}
		node = c.node("n0", "sqlite://"+path)
		c.client.base = node.url
		c.postedOnce(name, runs)
		if cut {
			return
		}
	}
	t.Errorf("in %d rounds no run was under way when its node was killed", rounds)
}
