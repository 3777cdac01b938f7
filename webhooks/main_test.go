package webhooks_test

import (
	"io"
	"log"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(workerVariable); url != "" {
		deliverForever(url)
		return
	}
	goleak.VerifyTestMain(m)
}

// quiet keeps a server's complaints about its peers out of the test's output.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
