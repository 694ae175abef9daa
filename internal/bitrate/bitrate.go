package bitrate

// Rate is a bandwidth in bits per second. Zero means none was given.
type Rate uint64

// Decimal multiples of one bit per second.
const (
	Kbit Rate = 1_000
	Mbit      = 1_000 * Kbit
	Gbit      = 1_000 * Mbit
)
