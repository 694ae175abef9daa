// Command demo shows kedge at work: it brings up one host of the laboratory,
// starts a server on it, runs an application from an image made of local files,
// reaches it in every way that a cluster offers, and stays until it is
// interrupted. Everything is removed then. Nothing is made on the machine
// itself: the host has namespaces and a data directory of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func main() {
	if code, done := lab.Reexec(); done {
		os.Exit(code)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	kedge := flag.String("kedge", "bin/kedge", "kedge to show")
	out := flag.String("out", filepath.Join(os.TempDir(), "kedge-demo-logs"), "directory for the logs")
	stay := flag.Bool("stay", true, "stay until Ctrl-C")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()

	say("making a host (namespaces of its own, nothing on this machine is changed)")
	l, err := lab.Up(ctx, lab.OneServer(), *out)
	if err != nil {
		return err
	}
	defer func() {
		say("removing everything")
		err = errors.Join(err, l.Close())
	}()
	d := demo{ctx: ctx, host: l.Host("server"), began: time.Now()}
	if err := d.show(*kedge); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted: everything is removed, as asked
		}
		return fmt.Errorf("%w\nlogs: %s", err, l.Out())
	}
	d.howToGoOn(l.Out())
	if *stay {
		<-ctx.Done()
		fmt.Println()
	}
	return nil
}

func say(format string, args ...any) { fmt.Printf("==> "+format+"\n", args...) }

// demo is one run.
type demo struct {
	ctx   context.Context
	host  *lab.Host
	began time.Time
}

func (d *demo) show(binary string) error {
	for _, step := range []func() error{
		func() error { return d.start(binary) },
		d.deploy,
		d.reachFromHost,
		d.reachFromPod,
		d.list,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// start installs kedge and the image, and starts the server.
func (d *demo) start(binary string) error {
	path, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	if err := cluster.Install(d.host, path); err != nil {
		return fmt.Errorf("%w (make build)", err)
	}
	say("building the application's image from local files: %s", cluster.AppImage)
	if err := cluster.InstallApp(d.ctx, d.host, ""); err != nil {
		return err
	}
	say("kedge server")
	began := time.Now()
	if _, err := d.host.Start("kedge", "kedge", "server", "--cgroup-root", d.host.CgroupRoot()); err != nil {
		return err
	}
	if _, err := d.command("kedge", "status", "--wait", "3m"); err != nil {
		return fmt.Errorf("the server did not get ready: %w", err)
	}
	say("the cluster is ready, %.1f s after the start", time.Since(began).Seconds())
	return nil
}

// manifest is the application: three replicas behind one service.
const manifest = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: ` + cluster.AppImage + `
        imagePullPolicy: Never
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
`

func (d *demo) deploy() error {
	say("kubectl apply: a Deployment of 3 behind a Service")
	if _, stderr, err := d.host.RunInput(d.ctx, []byte(manifest), "kedge", "kubectl", "apply", "-f", "-"); err != nil {
		return fmt.Errorf("kubectl apply: %w: %s", err, stderr)
	}
	_, err := d.command("kedge", "kubectl", "rollout", "status", "deployment/web", "--timeout=120s")
	return err
}

// reachFromHost asks the service by its two addresses until each of them has
// answered from all three pods.
func (d *demo) reachFromHost() error {
	ip, err := d.command("kedge", "kubectl", "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
	if err != nil {
		return err
	}
	for _, way := range [][2]string{
		{"ClusterIP", "http://" + ip + "/hostname"},
		{"NodePort", "http://" + d.host.IP() + ":30080/hostname"},
	} {
		pods, err := d.ask(way[1])
		if err != nil {
			return err
		}
		say("by %s   %s: answered by %s", way[0], way[1], strings.Join(pods, ", "))
	}
	return nil
}

func (d *demo) ask(url string) ([]string, error) {
	ctx, cancel := context.WithTimeout(d.ctx, time.Minute)
	defer cancel()
	client := cluster.HTTP(d.host)
	var pods []string
	seen := map[string]bool{}
	for len(pods) < 3 {
		answer, err := cluster.Fetch(ctx, client, http.MethodGet, url)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("GET %s: only %d of 3 pods answered: %w", url, len(pods), errors.Join(err, ctx.Err()))
		}
		if pod := strings.TrimSpace(answer); err == nil && !seen[pod] {
			seen[pod] = true
			pods = append(pods, pod)
		}
	}
	return pods, nil
}

// reachFromPod asks by the DNS name from another pod.
func (d *demo) reachFromPod() error {
	const url = "http://web.default.svc.cluster.local/hostname"
	answer, err := d.command("kedge", "kubectl", "run", "client", "--rm", "-i", "--quiet", "--restart=Never",
		"--image="+cluster.AppImage, "--image-pull-policy=Never", "--command", "--", "get", url)
	if err != nil {
		return err
	}
	// kubectl prints the answer of a short pod twice: from its log and attached.
	pod, _, _ := strings.Cut(answer, "\n")
	say("by DNS name %s from another pod: answered by %s", url, pod)
	return nil
}

func (d *demo) list() error {
	for _, what := range [][]string{{"nodes"}, {"pods"}} {
		out, err := d.command(append([]string{"kedge", "kubectl", "get", "-o", "wide"}, what...)...)
		if err != nil {
			return err
		}
		fmt.Printf("\n%s\n", out)
	}
	return nil
}

func (d *demo) command(argv ...string) (string, error) {
	stdout, stderr, err := d.host.Run(d.ctx, argv...)
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(stdout+stderr))
	}
	return strings.TrimSpace(stdout), nil
}

func (d *demo) howToGoOn(logs string) {
	fmt.Printf(`
It took %.0f s in all. How to go on, in another terminal as root:

  nsenter -t %d -m -n -u -p sh       a shell on that host, then for instance:
  kedge kubectl get pods -A          the cluster
  kedge status                       kedge's own components
  kedge token create                 what another machine needs to join

Logs: %s. Ctrl-C removes everything.
`, time.Since(d.began).Seconds(), d.host.InitPID(), logs)
}
