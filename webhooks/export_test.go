package webhooks

import (
	"context"
	"net/http"
	"time"
)

// Send makes one request, as the notifier does.
func Send(ctx context.Context, transport http.RoundTripper, w Work) (Try, bool) {
	return newSender(transport, time.Now).send(ctx, w)
}
