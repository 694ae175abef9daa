package sources

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// defaultInterval is that of a list that names none.
const defaultInterval = time.Hour

// watchConfigMap answers with the content of a ConfigMap now and after each
// change.
func (k *keeper) watchConfigMap(ctx context.Context, ref *v1alpha1.ConfigMapReference) {
	informer := cache.NewSharedInformer(k.s.api.configMap(ref.Namespace, ref.Name), &corev1.ConfigMap{}, 0)
	changed := make(chan struct{}, 1)
	seen := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { seen() }, UpdateFunc: func(any, any) { seen() }, DeleteFunc: func(any) { seen() },
	})
	if err != nil {
		k.say(ctx, answer{source: v1alpha1.SourceConfigMap, problem: err})
		return
	}
	ended := make(chan struct{})
	go func() { defer close(ended); informer.RunWithContext(ctx) }()
	defer func() { <-ended }()
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return
	}
	for {
		k.say(ctx, readConfigMap(informer.GetStore(), ref))
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func readConfigMap(store cache.Store, ref *v1alpha1.ConfigMapReference) answer {
	name := ref.Namespace + "/" + ref.Name
	a := answer{source: v1alpha1.SourceConfigMap, content: content{From: strings.TrimSuffix(name+"/"+ref.Key, "/")}}
	obj, exists, _ := store.GetByKey(name)
	m, ok := obj.(*corev1.ConfigMap)
	if !exists || !ok {
		a.problem = fmt.Errorf("ConfigMap %s does not exist: make it, or take spec.configMapRef out", name)
		return a
	}
	a.content.Prefixes, a.problem = listsOf(m, ref.Key)
	if a.problem != nil {
		a.problem = fmt.Errorf("ConfigMap %s: %w", name, a.problem)
	}
	return a
}

// listsOf reads one key, or all.
func listsOf(m *corev1.ConfigMap, key string) ([]netip.Prefix, error) {
	lists := map[string][]byte{}
	for k, v := range m.Data {
		lists[k] = []byte(v)
	}
	maps.Copy(lists, m.BinaryData)
	if key != "" {
		list, ok := lists[key]
		if !ok {
			return nil, fmt.Errorf("there is no key %q: it has %s", key, strings.Join(slices.Sorted(maps.Keys(lists)), ", "))
		}
		lists = map[string][]byte{key: list}
	}
	var all []netip.Prefix
	for _, k := range slices.Sorted(maps.Keys(lists)) {
		raw, err := unpacked(lists[k])
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", k, err)
		}
		list, err := ParseList(bytes.NewReader(raw))
		if err != nil {
			return nil, fmt.Errorf("key %s, %w", k, err)
		}
		all = append(all, list...)
	}
	if all = sorted(all); len(all) > v1alpha1.MaxAddresses {
		return nil, fmt.Errorf("all keys together have %d addresses and ranges, more than %d: name one of them", len(all), v1alpha1.MaxAddresses)
	}
	return all, nil
}

// fetchList answers with the list now and after each interval. After a failure
// it tries again sooner.
func (k *keeper) fetchList(ctx context.Context, list *v1alpha1.AddressList, last content) {
	f, err := newFetcher(list, k.s.cfg.UserAgent, k.s.cfg.Proxy)
	if err != nil {
		k.say(ctx, answer{source: v1alpha1.SourceList, problem: err})
		return
	}
	defer f.close()
	interval := defaultInterval
	if list.Interval != nil {
		interval = list.Interval.Duration
	}
	retry := min(k.s.cfg.Retry, interval)
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		a := fetchOnce(ctx, f, &last)
		if ctx.Err() != nil {
			return
		}
		k.say(ctx, a)
		pause := interval
		if a.problem != nil {
			pause, retry = retry, min(2*retry, interval)
		} else {
			retry = min(k.s.cfg.Retry, interval)
		}
		wait.Reset(pause - rand.N(pause/10+1)) // servers and sets need not all come at once
	}
}

// fetchOnce asks for the list, unless it is as last.
func fetchOnce(ctx context.Context, f *fetcher, last *content) answer {
	etag, modified := last.ETag, last.Modified
	if last.From != f.url {
		etag, modified = "", ""
	}
	got, err := f.fetch(ctx, etag, modified)
	a := answer{source: v1alpha1.SourceList, unchanged: got.unchanged, problem: err}
	if err != nil || got.unchanged {
		return a
	}
	prefixes, err := ParseList(bytes.NewReader(got.body))
	if err == nil && len(prefixes) == 0 {
		err = errors.New("it has no address")
	}
	if err != nil {
		a.problem = fmt.Errorf("%s: %w", f.url, err)
		return a
	}
	*last = content{From: f.url, ETag: got.etag, Modified: got.modified, Prefixes: prefixes}
	a.content = *last
	return a
}
