package bench

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// spent is the processor time of this process and of the PostgreSQL backends
// of a database: what a run costs, whoever else uses the machine. Zero for
// backends on another machine.
func spent(b *testing.B, url string) time.Duration {
	b.Helper()
	var self syscall.Rusage
	check(b, syscall.Getrusage(syscall.RUSAGE_SELF, &self))
	total := time.Duration(self.Utime.Nano() + self.Stime.Nano())
	if !strings.HasPrefix(url, "postgres") {
		return total
	}
	conn, err := pgx.Connect(b.Context(), url)
	check(b, err)
	defer conn.Close(b.Context())
	rows, err := conn.Query(b.Context(), "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	check(b, err)
	backends, err := pgx.CollectRows(rows, pgx.RowTo[int])
	check(b, err)
	for _, pid := range backends {
		total += processTime(pid)
	}
	return total
}

// processTime is the processor time of a process: fields 14 and 15 of
// /proc/PID/stat, in hundredths of a second.
func processTime(pid int) time.Duration {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(stat), ") ") // from field 3 on
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, _ := strconv.ParseInt(f, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
