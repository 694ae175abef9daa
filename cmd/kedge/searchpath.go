package main

import (
	"path/filepath"
	"slices"
)

// completePath adds the administrator's folders to a search path that lacks
// them, as after su without a dash and in cron: nft, iptables and mount are
// looked up by parts that know no other way to find them.
func completePath(path string) string {
	list := filepath.SplitList(path)
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if !slices.Contains(list, dir) {
			list = append(list, dir)
		}
	}
	joined := ""
	for i, dir := range list {
		if i > 0 {
			joined += string(filepath.ListSeparator)
		}
		joined += dir
	}
	return joined
}
