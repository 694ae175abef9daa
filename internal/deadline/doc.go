// Package deadline is what the read and write deadlines of a connection need
// that is made of a lock and conditions: a point in time that wakes those who
// wait. It knows no connection and holds no lock of its own. See [Deadline].
package deadline
