// Package bench measures ringback beside River (github.com/riverqueue/river) on
// the same PostgreSQL, in the same run. It is a module of its own, so that the
// peer stays out of the product. See docs/benchmarks.md.
package bench
