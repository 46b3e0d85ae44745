package sandbox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Where struct seccomp_data has what the filter looks at. Both architectures are
// little-endian: the low half of an argument comes first. Only that half is
// compared, for the kernel too uses only 32 bits of these arguments; comparing 64
// let TIOCSTI through with any higher bit set (CVE-2019-10063).
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

// x32Bit marks the numbers of the ABI x32, which shares x86_64's value of arch.
const x32Bit = 0x40000000

// filter assembles the program that judges every system call. Another ABI than the
// given one ends the process: it would have other numbers for the same calls.
func filter(a abi, features []string) []bpf.Instruction {
	devel := slices.Contains(features, "devel")
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: a.audit, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
		bpf.LoadAbsolute{Off: offsetNumber, Size: 4},
	}
	if a.x32 {
		program = append(program,
			bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: x32Bit, SkipTrue: 1},
			bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS})
	}
	program = append(program,
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: lastCall, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: a.oldest, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: 424, SkipTrue: 1},
		answer(unix.ENOSYS))
	denied := deniedCalls
	if !devel {
		denied = slices.Concat(denied, develCalls)
	}
	program = append(program, refuse(a, denied, unix.EPERM)...)
	program = append(program, refuse(a, absentCalls, unix.ENOSYS)...)
	program = append(program, judgeArgument(a, callClone, 0, clone)...)
	program = append(program, judgeArgument(a, callIoctl, 1, ioctl)...)
	program = append(program, judgeArgument(a, callSocket, 0, socket(features))...)
	if !devel {
		program = append(program, judgeArgument(a, callPersonality, 0, personality)...)
	}
	return append(program, allow)
}

var allow = bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}

func answer(errno unix.Errno) bpf.Instruction {
	return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(errno)}
}

// refuse answers all of these calls with one error. The number stays loaded.
func refuse(a abi, calls []call, errno unix.Errno) []bpf.Instruction {
	var numbers []uint32
	for _, c := range calls {
		if n := a.number(c); n >= 0 {
			numbers = append(numbers, uint32(n))
		}
	}
	return anyOf(bpf.JumpEqual, numbers, answer(errno))
}

// anyOf executes then if the loaded value meets the condition with any of these.
func anyOf(cond bpf.JumpTest, values []uint32, then bpf.Instruction) []bpf.Instruction {
	var program []bpf.Instruction
	for i, v := range values {
		jump := bpf.JumpIf{Cond: cond, Val: v, SkipTrue: uint8(len(values) - 1 - i)}
		if i == len(values)-1 {
			jump.SkipFalse = 1
		}
		program = append(program, jump)
	}
	return append(program, then)
}

// judgeArgument loads the low half of one argument of a call and lets rules
// decide; what they leave is allowed. For other calls nothing happens.
func judgeArgument(a abi, c call, argument uint32, rules []bpf.Instruction) []bpf.Instruction {
	block := []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(a.number(c)), SkipTrue: uint8(len(rules) + 2)},
		bpf.LoadAbsolute{Off: offsetArgs + 8*argument, Size: 4},
	}
	return append(append(block, rules...), allow)
}

var (
	clone       = anyOf(bpf.JumpBitsSet, []uint32{newNamespaces}, answer(unix.EPERM))
	ioctl       = anyOf(bpf.JumpEqual, []uint32{unix.TIOCSTI, unix.TIOCLINUX}, answer(unix.EPERM))
	personality = anyOf(bpf.JumpNotEqual, []uint32{0}, answer(unix.EPERM))
)

func socket(features []string) []bpf.Instruction {
	allowed := slices.Clone(families)
	if slices.Contains(features, "bluetooth") {
		allowed = append(allowed, unix.AF_BLUETOOTH)
	}
	if slices.Contains(features, "canbus") {
		allowed = append(allowed, unix.AF_CAN)
	}
	return append(anyOf(bpf.JumpEqual, allowed, allow), answer(unix.EAFNOSUPPORT))
}

// filterBytes gives the filter as the kernel takes it: struct sock_filter for each
// instruction.
func filterBytes(arch string, features []string) ([]byte, error) {
	a, ok := abis[arch]
	if !ok {
		return nil, fmt.Errorf("%w: no system call filter for the architecture %s", ErrUnusable, arch)
	}
	raw, err := bpf.Assemble(filter(a, features))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, r := range raw {
		binary.Write(&b, binary.LittleEndian, r)
	}
	return b.Bytes(), nil
}
