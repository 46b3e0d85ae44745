#include "textflag.h"

// One SHA-256 keeps the CPU's unit for it half idle: each of its instructions waits for
// the one before. So two are woven into each other here.
//
// The state of a is in X1 (words a, b, e, f) and X2 (c, d, g, h), that of b in X3 and X4;
// sixteen words of the schedule in X5 to X8, and X9 to X12. X13 and X14 are for the time
// of a step, X0 is what SHA256RNDS2 reads, X15 puts bytes into order.
//
// Source: FIPS 180-4, section 6.2; Intel Architectures Software Developer's Manual,
// volume 2, SHA256RNDS2, SHA256MSG1, SHA256MSG2.

// LOAD loads the words i, of which there are four, of both blocks.
#define LOAD(i, a, b) \
	MOVOU  (i*16)(SI), a; \
	MOVOU  (i*16)(DI), b; \
	PSHUFB X15, a;        \
	PSHUFB X15, b

// ROUNDS4 does four rounds with four words of each.
#define ROUNDS4(i, a, b) \
	MOVO        a, X0;            \
	PADDD       (i*16)(AX), X0;   \
	SHA256RNDS2 X0, X1, X2;       \
	PSHUFD      $0x0e, X0, X13;   \
	MOVO        b, X0;            \
	PADDD       (i*16)(AX), X0;   \
	SHA256RNDS2 X0, X3, X4;       \
	PSHUFD      $0x0e, X0, X14;   \
	MOVO        X13, X0;          \
	SHA256RNDS2 X0, X2, X1;       \
	MOVO        X14, X0;          \
	SHA256RNDS2 X0, X4, X3

// FIRST begins the words after next: those before (p) with those now (c).
#define FIRST(pa, ca, pb, cb) \
	SHA256MSG1 ca, pa; \
	SHA256MSG1 cb, pb

// SECOND ends the next words (n), with those before (p) and now (c).
#define SECOND(pa, ca, na, pb, cb, nb) \
	MOVO       ca, X13;     \
	MOVO       cb, X14;     \
	PALIGNR    $4, pa, X13; \
	PALIGNR    $4, pb, X14; \
	PADDD      X13, na;     \
	PADDD      X14, nb;     \
	SHA256MSG2 ca, na;      \
	SHA256MSG2 cb, nb

// ENTER puts a state of eight words into the order of SHA256RNDS2.
#define ENTER(at, s, t) \
	MOVOU   (at+0)(DX), X13;  \
	MOVOU   (at+16)(DX), t;   \
	PSHUFD  $0xb1, X13, X13;  \
	PSHUFD  $0x1b, t, t;      \
	MOVO    X13, s;           \
	PALIGNR $8, t, s;         \
	PBLENDW $0xf0, X13, t

// LEAVE puts it back.
#define LEAVE(at, s, t) \
	PSHUFD  $0x1b, s, X13;    \
	PSHUFD  $0xb1, t, t;      \
	MOVO    X13, s;           \
	PBLENDW $0xf0, t, s;      \
	PALIGNR $8, X13, t;       \
	MOVOU   s, (at+0)(DX);    \
	MOVOU   t, (at+16)(DX)

// ADD adds what was kept of a state.
#define ADD(at, s) \
	MOVOU at(SP), X13; \
	PADDD X13, s

// func compressPair(states *[2][8]uint32, a, b *byte, blocks int)
TEXT ·compressPair(SB), NOSPLIT, $64-32
	MOVQ  states+0(FP), DX
	MOVQ  a+8(FP), SI
	MOVQ  b+16(FP), DI
	MOVQ  blocks+24(FP), CX
	LEAQ  constants<>(SB), AX
	MOVOU order<>(SB), X15
	ENTER(0, X1, X2)
	ENTER(32, X3, X4)

next:
	TESTQ CX, CX
	JZ    done
	MOVOU X1, 0(SP)
	MOVOU X2, 16(SP)
	MOVOU X3, 32(SP)
	MOVOU X4, 48(SP)

	LOAD(0, X5, X9)
	ROUNDS4(0, X5, X9)
	LOAD(1, X6, X10)
	ROUNDS4(1, X6, X10)
	FIRST(X5, X6, X9, X10)
	LOAD(2, X7, X11)
	ROUNDS4(2, X7, X11)
	FIRST(X6, X7, X10, X11)
	LOAD(3, X8, X12)
	ROUNDS4(3, X8, X12)
	SECOND(X7, X8, X5, X11, X12, X9)
	FIRST(X7, X8, X11, X12)

	ROUNDS4(4, X5, X9)
	SECOND(X8, X5, X6, X12, X9, X10)
	FIRST(X8, X5, X12, X9)
	ROUNDS4(5, X6, X10)
	SECOND(X5, X6, X7, X9, X10, X11)
	FIRST(X5, X6, X9, X10)
	ROUNDS4(6, X7, X11)
	SECOND(X6, X7, X8, X10, X11, X12)
	FIRST(X6, X7, X10, X11)
	ROUNDS4(7, X8, X12)
	SECOND(X7, X8, X5, X11, X12, X9)
	FIRST(X7, X8, X11, X12)

	ROUNDS4(8, X5, X9)
	SECOND(X8, X5, X6, X12, X9, X10)
	FIRST(X8, X5, X12, X9)
	ROUNDS4(9, X6, X10)
	SECOND(X5, X6, X7, X9, X10, X11)
	FIRST(X5, X6, X9, X10)
	ROUNDS4(10, X7, X11)
	SECOND(X6, X7, X8, X10, X11, X12)
	FIRST(X6, X7, X10, X11)
	ROUNDS4(11, X8, X12)
	SECOND(X7, X8, X5, X11, X12, X9)
	FIRST(X7, X8, X11, X12)

	ROUNDS4(12, X5, X9)
	SECOND(X8, X5, X6, X12, X9, X10)
	FIRST(X8, X5, X12, X9)
	ROUNDS4(13, X6, X10)
	SECOND(X5, X6, X7, X9, X10, X11)
	ROUNDS4(14, X7, X11)
	SECOND(X6, X7, X8, X10, X11, X12)
	ROUNDS4(15, X8, X12)

	ADD(0, X1)
	ADD(16, X2)
	ADD(32, X3)
	ADD(48, X4)
	ADDQ $64, SI
	ADDQ $64, DI
	DECQ CX
	JMP  next

done:
	LEAVE(0, X1, X2)
	LEAVE(32, X3, X4)
	RET

// func hasSHA() bool
TEXT ·hasSHA(SB), NOSPLIT, $0-1
	XORL  AX, AX
	CPUID
	CMPL  AX, $7
	JL    no
	MOVL  $7, AX
	XORL  CX, CX
	CPUID
	SHRL  $29, BX
	ANDL  $1, BX
	MOVB  BX, ret+0(FP)
	RET
no:
	MOVB  $0, ret+0(FP)
	RET

DATA order<>+0(SB)/8, $0x0405060700010203
DATA order<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL order<>(SB), RODATA|NOPTR, $16

DATA constants<>+0(SB)/8, $0x71374491428a2f98
DATA constants<>+8(SB)/8, $0xe9b5dba5b5c0fbcf
DATA constants<>+16(SB)/8, $0x59f111f13956c25b
DATA constants<>+24(SB)/8, $0xab1c5ed5923f82a4
DATA constants<>+32(SB)/8, $0x12835b01d807aa98
DATA constants<>+40(SB)/8, $0x550c7dc3243185be
DATA constants<>+48(SB)/8, $0x80deb1fe72be5d74
DATA constants<>+56(SB)/8, $0xc19bf1749bdc06a7
DATA constants<>+64(SB)/8, $0xefbe4786e49b69c1
DATA constants<>+72(SB)/8, $0x240ca1cc0fc19dc6
DATA constants<>+80(SB)/8, $0x4a7484aa2de92c6f
DATA constants<>+88(SB)/8, $0x76f988da5cb0a9dc
DATA constants<>+96(SB)/8, $0xa831c66d983e5152
DATA constants<>+104(SB)/8, $0xbf597fc7b00327c8
DATA constants<>+112(SB)/8, $0xd5a79147c6e00bf3
DATA constants<>+120(SB)/8, $0x1429296706ca6351
DATA constants<>+128(SB)/8, $0x2e1b213827b70a85
DATA constants<>+136(SB)/8, $0x53380d134d2c6dfc
DATA constants<>+144(SB)/8, $0x766a0abb650a7354
DATA constants<>+152(SB)/8, $0x92722c8581c2c92e
DATA constants<>+160(SB)/8, $0xa81a664ba2bfe8a1
DATA constants<>+168(SB)/8, $0xc76c51a3c24b8b70
DATA constants<>+176(SB)/8, $0xd6990624d192e819
DATA constants<>+184(SB)/8, $0x106aa070f40e3585
DATA constants<>+192(SB)/8, $0x1e376c0819a4c116
DATA constants<>+200(SB)/8, $0x34b0bcb52748774c
DATA constants<>+208(SB)/8, $0x4ed8aa4a391c0cb3
DATA constants<>+216(SB)/8, $0x682e6ff35b9cca4f
DATA constants<>+224(SB)/8, $0x78a5636f748f82ee
DATA constants<>+232(SB)/8, $0x8cc7020884c87814
DATA constants<>+240(SB)/8, $0xa4506ceb90befffa
DATA constants<>+248(SB)/8, $0xc67178f2bef9a3f7
GLOBL constants<>(SB), RODATA|NOPTR, $256
