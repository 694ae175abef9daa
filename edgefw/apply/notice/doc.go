// Package notice tells that somebody changed the rules of iptables: nftables'
// own notifications for iptables-nft, and a glance at the tables' figures a few
// times a second for iptables-legacy, whose kernel part tells nobody.
//
// It does not say what is wrong, only that it is worth looking. Changes that the
// caller makes itself are made within [Watcher.Own]. Start reading at [Open].
package notice
