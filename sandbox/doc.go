// Package sandbox runs a program inside a deployment.
package sandbox
