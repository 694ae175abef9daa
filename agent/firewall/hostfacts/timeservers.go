package hostfacts

import (
	"path/filepath"
	"slices"
	"strings"
)

// maxTimeNames bounds how many time servers are taken from all files.
const maxTimeNames = 32

// timesyncd are the files of systemd-timesyncd with their drop-ins
// (timesyncd.conf(5)), ntp those whose lines begin with "server", "pool" or "peer"
// (chrony.conf(5), ntp.conf(5), ntpd.conf(5) of OpenNTPD).
var (
	timesyncd = []string{
		"/etc/systemd/timesyncd.conf", "/etc/systemd/timesyncd.conf.d/*.conf", "/run/systemd/timesyncd.conf.d/*.conf",
		"/usr/lib/systemd/timesyncd.conf", "/usr/lib/systemd/timesyncd.conf.d/*.conf",
	}
	ntp = []string{
		"/etc/chrony.conf", "/etc/chrony.d/*.conf", "/etc/chrony/chrony.conf", "/etc/chrony/conf.d/*.conf",
		"/etc/chrony/sources.d/*.sources", "/run/chrony-dhcp/*.sources",
		"/etc/ntp.conf", "/etc/ntpsec/ntp.conf", "/etc/ntpsec/ntp.d/*.conf", "/etc/openntpd/ntpd.conf", "/etc/ntpd.conf",
		"/run/ntp.conf.dhcp", "/run/ntpsec/ntp.conf.dhcp",
	}
)

// TimeServers are the names and addresses that the time daemons of the host are
// configured with, sorted, below root.
func TimeServers(root string) []string {
	var all []string
	for _, conf := range texts(root, timesyncd) {
		all = append(all, timesyncdServers(conf)...)
	}
	for _, conf := range texts(root, ntp) {
		all = append(all, ntpServers(conf)...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), maxTimeNames)]
}

// timesyncdServers reads "NTP=" and "FallbackNTP=", lists with spaces.
func timesyncdServers(conf string) []string {
	var out []string
	for line := range strings.Lines(conf) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if key = strings.TrimSpace(key); ok && (key == "NTP" || key == "FallbackNTP") {
			out = append(out, strings.Fields(value)...)
		}
	}
	return out
}

// ntpServers reads lines such as "server time.example.org iburst".
func ntpServers(conf string) []string {
	var out []string
	for line := range strings.Lines(conf) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "server", "servers", "pool", "peer":
			// "-4" and "-6" of ntp.conf choose a family.
			if name := words[1]; !strings.HasPrefix(name, "-") {
				out = append(out, name)
			} else if len(words) > 2 {
				out = append(out, words[2])
			}
		}
	}
	return out
}

// texts are what files of these patterns have.
func texts(root string, patterns []string) []string {
	var out []string
	for _, p := range patterns {
		files, _ := filepath.Glob(filepath.Join(root, p)) // the patterns are ours
		for _, file := range files {
			out = append(out, text("", file))
		}
	}
	return out
}
