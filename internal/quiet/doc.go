// Package quiet keeps a stranger who tries again and again, with a wrong token
// or a certificate that is refused, from filling the log. Start at [Log.First].
package quiet
