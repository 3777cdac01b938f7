package bench

import "testing"

// Due tasks without URLs over 1,000 queues with limit 10, whose calls are busy
// at once, beside as many jobs that do nothing.
func BenchmarkDrain(b *testing.B) {
	compare(b, drainRingback(load{}), drainRiver(tellNothing))
}

// The same with calls that are answered: the bridge is written too.
func BenchmarkDrainAnswered(b *testing.B) {
	compare(b, drainRingback(load{answered: true}), drainRiver(tellNothing))
}

// Answered calls that owe three events each, delivered to a receiver that
// costs nothing, beside jobs that insert three jobs each in one transaction,
// which are worked too.
func BenchmarkDrainWithEvents(b *testing.B) {
	compare(b, drainRingback(load{answered: true, events: true}), drainRiver(tellTogether))
}

// The same beside jobs that insert each event when it becomes true, as
// ringback does: a transaction an event.
func BenchmarkDrainWithEventsEach(b *testing.B) {
	compare(b, drainRingback(load{answered: true, events: true}), drainRiver(tellEach))
}

// ringback on SQLite beside River on PostgreSQL.
func BenchmarkDrainSQLite(b *testing.B) {
	compare(b, drainRingback(load{sqlite: true}), drainRiver(tellNothing))
}

// Batches of 1,000 at the store, beside River's InsertMany of 1,000.
func BenchmarkInsert(b *testing.B) {
	compare(b, insertRingback(false), insertRiver)
}

// Batches of 1,000 at the store on SQLite beside River on PostgreSQL.
func BenchmarkInsertSQLite(b *testing.B) {
	compare(b, insertRingback(true), insertRiver)
}

// How late the starts of a queue are, 200 a second, beside nothing and beside
// 200 queues in which 100,000 tasks are due and may not start.
func BenchmarkLateness(b *testing.B) { lateness(b, storeOnPostgres) }

// The same on SQLite.
func BenchmarkLatenessSQLite(b *testing.B) { lateness(b, storeOnSQLite) }
