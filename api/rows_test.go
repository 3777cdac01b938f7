package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestAnswersInPieces: an answer of many pieces is one JSON array of the length
// that it says, in order.
func TestAnswersInPieces(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		const n = 1500 // more than a mebibyte
		tasks := make([]string, n)
		for i := range tasks {
			tasks[i] = fmt.Sprintf(`{"name":"n%d","a_number":"101","b_number":"102","extension_id":%d,"url_after":"https://example.com/?a=1&b=<%d>"}`, i, r.a.extension.ID, i)
		}
		body := `{"tasks":[` + strings.Join(tasks, ",") + `]}`
		first := r.keyed(queue+"/tasks/", r.a.token, "k", body).want(http.StatusCreated)
		again := r.keyed(queue+"/tasks/", r.a.token, "k", body).want(http.StatusCreated)
		for _, a := range []reply{first, again} {
			if a.header.Get("Content-Length") != fmt.Sprint(len(a.body)) || len(a.body) < 4*pieceSize {
				t.Errorf("%d bytes, said to be %s", len(a.body), a.header.Get("Content-Length"))
			}
			for i, task := range a.objects() {
				if task["name"] != fmt.Sprint("n", i) || task["url_after"] != fmt.Sprintf("https://example.com/?a=1&b=<%d>", i) {
					t.Fatalf("task %d is %v", i, task)
				}
			}
		}
		if len(first.objects()) != n || first.body != again.body {
			t.Errorf("%d tasks, then %d", len(first.objects()), len(again.objects()))
		}
	})
}
