// Package scheduler is the domain of ringback: callback tasks, the queues that
// pace them, the attempts to place them as calls, and the events they owe.
//
// Everything here but the loops is a pure function of values and now. The
// loops (Dispatcher, Recorder, Node) reach the world through small interfaces
// declared beside them. The package imports nothing but the standard library.
package scheduler
