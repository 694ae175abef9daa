package quickstart

import (
	"errors"
	"fmt"
	"strings"
)

// block is one part of the quick start, for one host.
type block struct {
	host   string
	line   int // where it begins in the file, from 1
	script string
}

// blocks finds what is fenced by ```sh quickstart HOST. A fence that is not closed or names no
// host is an error, and so is a text without any block.
func blocks(markdown string) ([]block, error) {
	const mark = "```sh quickstart"
	var all []block
	var open *block
	for i, line := range strings.Split(markdown, "\n") {
		switch {
		case open == nil && strings.HasPrefix(line, mark):
			open = &block{host: strings.TrimSpace(strings.TrimPrefix(line, mark)), line: i + 1}
			if open.host == "" {
				return nil, fmt.Errorf("line %d: name the host: %s HOST", i+1, mark)
			}
		case open != nil && line == "```":
			all = append(all, *open)
			open = nil
		case open != nil:
			open.script += line + "\n"
		}
	}
	if open != nil {
		return nil, fmt.Errorf("line %d: the block is not closed", open.line)
	}
	if len(all) == 0 {
		return nil, errors.New("no block is marked " + mark)
	}
	return all, nil
}
