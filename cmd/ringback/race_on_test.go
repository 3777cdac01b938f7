//go:build race

package main

// raceEnabled reports whether everything is slower than it is.
const raceEnabled = true
