package config

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Expected says in words what a value of f looks like.
func Expected(f *pflag.Flag) string {
	if isList(f) {
		return "a list, or one value"
	}
	switch t := f.Value.Type(); {
	case t == "bool":
		return "true or false"
	case isInteger(t):
		return "a whole number"
	case t == "duration":
		return "a duration such as 90s, 15m or 24h"
	case t == "float32" || t == "float64":
		return "a number"
	default:
		return "a single value"
	}
}

func isList(f *pflag.Flag) bool {
	_, ok := f.Value.(pflag.SliceValue)
	return ok
}

func isInteger(t string) bool {
	return t == "count" || strings.HasPrefix(t, "int") || strings.HasPrefix(t, "uint")
}

// wrong is the error for a value of f that cannot be used. The value of a
// secret is left out, and with it the reason, which may quote it.
func wrong(f *pflag.Flag, value string, reason error) error {
	switch {
	case IsSecret(f):
		return fmt.Errorf("%s: the value (not shown) is not usable, expected %s", f.Name, Expected(f))
	case reason == nil || builtin(f):
		return fmt.Errorf("%s: %q is not %s", f.Name, value, Expected(f))
	default:
		return fmt.Errorf("%s: %q: %w", f.Name, value, reason)
	}
}

// builtin reports whether f has one of the types whose errors pflag words for
// programmers ("strconv.ParseInt: ...").
func builtin(f *pflag.Flag) bool {
	t := f.Value.Type()
	return t == "bool" || t == "duration" || isInteger(t) || strings.HasPrefix(t, "float")
}

// setFromEnv sets f from the text of a variable. The items of a list are
// separated as on the command line: by commas for flags that split there, by
// line ends for flags whose values may hold commas.
func setFromEnv(f *pflag.Flag, text string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		items, err := split(f, text)
		if err == nil {
			err = list.Replace(items)
		}
		if err != nil {
			return wrong(f, text, err)
		}
		return nil
	}
	if err := f.Value.Set(text); err != nil {
		return wrong(f, text, err)
	}
	return nil
}

func split(f *pflag.Flag, text string) ([]string, error) {
	if f.Value.Type() != "stringArray" {
		return csv.NewReader(strings.NewReader(text)).Read()
	}
	var items []string
	for _, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			items = append(items, line)
		}
	}
	return items, nil
}

// checkScalar compares the type that a file gave a single value with f's.
func checkScalar(f *pflag.Flag, n scalar) error {
	t, ok := f.Value.Type(), true
	switch {
	case t == "bool":
		ok = n.tag == "!!bool"
	case isInteger(t):
		ok = n.tag == "!!int"
	case strings.HasPrefix(t, "float"):
		ok = n.tag == "!!int" || n.tag == "!!float"
	case t == "duration":
		_, err := time.ParseDuration(n.text)
		ok = err == nil
	}
	if !ok {
		return wrong(f, n.text, nil)
	}
	return nil
}

// show renders the present value of f.
func show(f *pflag.Flag, origin string) Value {
	v := Value{Key: f.Name, Type: f.Value.Type(), Origin: origin, Secret: IsSecret(f)}
	list, ok := f.Value.(pflag.SliceValue)
	if !ok {
		v.Value = f.Value.String()
	} else {
		v.Items = append([]string{}, list.GetSlice()...)
	}
	if v.Secret {
		if v.Value != "" {
			v.Value = Mask
		}
		for i := range v.Items {
			v.Items[i] = Mask
		}
	}
	if ok {
		v.Value = strings.Join(v.Items, ",")
	}
	return v
}

// typed returns the value as what JSON and YAML should print.
func (v Value) typed() any {
	switch {
	case v.Items != nil:
		return v.Items
	case v.Secret:
		return v.Value
	case v.Type == "bool":
		return v.Value == "true"
	case isInteger(v.Type):
		if n, err := strconv.ParseInt(v.Value, 10, 64); err == nil {
			return n
		}
	}
	return v.Value
}
