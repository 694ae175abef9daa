package support

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"time"
)

// Bounds of an archive unless it says otherwise, in bytes before compression.
const (
	// MaxPart is what one part may have; of longer ones the end is kept, which for a
	// log is what counts.
	MaxPart = 4 << 20
	// MaxTotal bounds all parts together.
	MaxTotal = 64 << 20
)

// Archive is a bundle that is being written. Not for concurrent use.
type Archive struct {
	// PartLimit and TotalLimit are MaxPart and MaxTotal of this archive.
	PartLimit, TotalLimit int

	root     string
	at       time.Time
	gz       *gzip.Writer
	tar      *tar.Writer
	redactor *Redactor
	contents Contents
	total    int
}

// Contents is the list in the archive, contents.json.
type Contents struct {
	Made  time.Time `json:"made"`
	Parts []Part    `json:"parts"`
	// Missing are parts that could not be had, with the reason.
	Missing []Part `json:"missing,omitempty"`
}

// Part is a file of the archive.
type Part struct {
	Name string `json:"name"`
	// Bytes of it, and of what was cut off at its begin.
	Bytes int `json:"bytes,omitempty"`
	Cut   int `json:"cut,omitempty"`
	// Error is why it is not there, or not all of it.
	Error string `json:"error,omitempty"`
}

// NewArchive writes to w a gzipped tar whose files are in a folder called root.
func NewArchive(w io.Writer, root string, at time.Time, r *Redactor) *Archive {
	gz := gzip.NewWriter(w)
	return &Archive{PartLimit: MaxPart, TotalLimit: MaxTotal, root: root, at: at, gz: gz, tar: tar.NewWriter(gz), redactor: r, contents: Contents{Made: at}}
}

// Add takes the secrets out of text and writes it as a file. problem is why there is
// nothing, or not all. The error is that of writing the archive.
func (a *Archive) Add(name, text string, problem error) error {
	p := Part{Name: name}
	if problem != nil {
		p.Error = a.redactor.Text(problem.Error())
	}
	if text == "" && problem != nil {
		a.contents.Missing = append(a.contents.Missing, p)
		return nil
	}
	// First the secrets, then the cut: half of one would not be recognised.
	text = a.redactor.Text(text)
	if room := min(a.PartLimit, a.TotalLimit-a.total); len(text) > room {
		p.Cut = len(text) - max(room, 0)
		text = text[p.Cut:]
	}
	p.Bytes = len(text)
	a.total += len(text)
	a.contents.Parts = append(a.contents.Parts, p)
	return a.write(name, text)
}

// AddJSON is Add for a value.
func (a *Archive) AddJSON(name string, value any, problem error) error {
	if problem != nil {
		return a.Add(name, "", problem)
	}
	text, err := json.MarshalIndent(value, "", "  ")
	return a.Add(name, string(text), err)
}

func (a *Archive) write(name, text string) error {
	header := &tar.Header{Name: path.Join(a.root, name), Mode: 0o600, Size: int64(len(text)), ModTime: a.at, Typeflag: tar.TypeReg}
	if err := a.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if _, err := io.WriteString(a.tar, text); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// Close writes the list of contents and ends the archive.
func (a *Archive) Close() error {
	text, err := json.MarshalIndent(a.contents, "", "  ")
	if err == nil {
		err = a.write("contents.json", string(text))
	}
	if err == nil {
		err = a.tar.Close()
	}
	if err == nil {
		err = a.gz.Close()
	}
	if err != nil {
		return fmt.Errorf("end the bundle: %w", err)
	}
	return nil
}
