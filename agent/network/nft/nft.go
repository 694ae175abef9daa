package nft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// Table names one nftables table.
type Table struct {
	// Family is the address family as nft writes it: ip, ip6 or inet.
	Family string
	// Name is the table's name within the family.
	Name string
}

// String is the table as nft lists it, such as "table inet kedge-net".
func (t Table) String() string { return "table " + t.Family + " " + t.Name }

// ErrMissing tells that the kernel has no such table or chain.
var ErrMissing = errors.New("no such nftables object")

// Replace makes the table hold exactly body, the text between its braces, in
// one transaction.
func Replace(ctx context.Context, t Table, body string) error {
	// "add" before "delete" lets the same script serve a first and a later run.
	script := fmt.Sprintf("add %[1]s\ndelete %[1]s\n%[1]s {\n%[2]s}\n", t, body)
	if err := run(ctx, script); err != nil {
		return fmt.Errorf("replacing nftables %s: %w", t, err)
	}
	return nil
}

// List returns the table's ruleset without counters, or ErrMissing.
func List(ctx context.Context, t Table) (string, error) {
	tables, err := output(ctx, "list", "tables")
	if err != nil {
		return "", fmt.Errorf("listing nftables tables: %w", err)
	}
	if !slices.Contains(strings.Split(tables, "\n"), t.String()) {
		return "", fmt.Errorf("%s: %w", t, ErrMissing)
	}
	out, err := output(ctx, "-s", "list", "table", t.Family, t.Name)
	if err != nil {
		return "", fmt.Errorf("listing nftables %s: %w", t, err)
	}
	return out, nil
}

// ListHandles is List with the handle of each rule and chain.
func ListHandles(ctx context.Context, t Table) (string, error) {
	if _, err := List(ctx, t); err != nil {
		return "", err
	}
	return output(ctx, "-a", "-s", "list", "table", t.Family, t.Name)
}

// Delete removes the tables that exist among those given, all in one
// transaction. Tables that do not exist are no error.
func Delete(ctx context.Context, tables ...Table) error {
	present, err := output(ctx, "list", "tables")
	if err != nil {
		return fmt.Errorf("listing nftables tables: %w", err)
	}
	lines := strings.Split(present, "\n")
	var script strings.Builder
	for _, t := range tables {
		if slices.Contains(lines, t.String()) {
			fmt.Fprintf(&script, "delete %s\n", t)
		}
	}
	if script.Len() == 0 {
		return nil
	}
	return run(ctx, script.String())
}

// DeleteRule removes one rule by the handle that ListHandles showed.
func DeleteRule(ctx context.Context, t Table, chain, handle string) error {
	return run(ctx, fmt.Sprintf("delete rule %s %s %s handle %s\n", t.Family, t.Name, chain, handle))
}

var comment = regexp.MustCompile(`comment "([^"]*)"`)

// SameRules tells whether a listing holds the rules of body in their order. It
// compares the rules' comments, since nft versions print expressions
// differently; every rule of body must therefore carry its own comment.
func SameRules(body, listing string) bool {
	return slices.EqualFunc(comment.FindAllStringSubmatch(body, -1), comment.FindAllStringSubmatch(listing, -1),
		func(a, b []string) bool { return a[1] == b[1] })
}

func run(ctx context.Context, script string) error {
	_, err := execute(ctx, script, "-f", "-")
	return err
}

func output(ctx context.Context, args ...string) (string, error) {
	return execute(ctx, "", args...)
}

func execute(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "nft", args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "", fmt.Errorf("the program nft is missing: install the package nftables: %w", err)
		}
		return "", fmt.Errorf("nft %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
