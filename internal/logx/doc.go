// Package logx makes the one logger of a process and leads the loggers of the
// libraries inside it to the same place: klog (Kubernetes), logrus (kine,
// remotedialer) and the standard library's. Start reading at [Setup].
package logx
