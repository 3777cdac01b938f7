// Package webhooks delivers the events of tasks to the URLs that asked for
// them: built once, signed by Standard Webhooks, tried on a schedule, never to
// an inward address. The outbox itself is the store's.
package webhooks
