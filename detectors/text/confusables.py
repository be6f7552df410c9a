"""Letters that look like Latin ones: Unicode's confusables.txt (version 15, UTS #39, Unicode licence v3), compacted.

Kept are letters and digits whose prototype is a Latin letter; what a normal form or a letter's own name
says (``LATIN SMALL LETTER O WITH STROKE``) isn't listed. A line: the Latin letter, then code points in hex.
"""

_UNICODE = """
A 391 410 13aa 15c5 a4ee 102a0 16f40
a 251 3b1 430
AE c6 4d4
ae e6 4d5
B 392 412 13f4 15f7 a4d0 a7b4 10282 102a1 10301
b 184 411 42c 462 463 48c 48d 13cf 1472 1473 15af
C 421 4aa 13df 2ca4 a4da 102a2 10302 10415 1051c 118e9 118f2
c 441 4ab 2ca5 abaf 1043d
D d0 13a0 15de 15ea a4d3
d 501 13e7 146f a4d2
E 395 415 13ac 2d39 a4f0 10286 118a6 118ae
e 435 4bd 4bf
F 3dc 15b4 a4dd 10287 102a5 10525 118a2 118c2
f 584
G 50c 13c0 13f3 a4d6
g 18d 581
H 397 41d 4a2 4c7 4c9 13bb 157c 2c8e a4e7 102cf
h 45b 4bb 570 13c2 13f2 a695
I 196 399 406 4c0 16c1 2c92 a4f2 10309
i 269 3b9 456 4cf 13a5 1d7b 1d7c a647 ab75 118c3
J 37f 408 13ab 148d a4d9
j 3f3 458
K 39a 41a 49a 49e 13e6 16d5 2c94 a4d7 10518
L 13de 14aa 2cd0 a4e1 1041b 10526 118a3 118b2 16f16
l 1c0 5d5 5df 627 661 6f1 7ca 2d4f 1028a 10320 16f28 1e8c7
M 39c 3fa 41c 4cd 13b7 15f0 16d6 2c98 a4df 102b0 10311
m 11700 118e3
N 39d 2c9a a4e0 10513
n 3b7 578 57c
O 398 39f 3b8 41e 472 4e8 555 7c0 9e6 b20 b66 12d0 13be 13eb 2c9e 2d31 2d41 2d54 3007 a4f3 10292 102ab 10404 104c2
O 10516 114d0 118b5 118e0
o 3bf 3c3 43e 473 4e9 585 5e1 647 665 6be 6c1 6d5 6f5 6ff 966 a66 ae6 be6 c66 ce6 d20 d66 e50 ed0 101d 1040 10ff
o 2c9f ab74 ab8e abbb 1042c 104ea 118c8 118d7
OE 152
oe 153
P 3a1 420 13e2 146d 2ca2 a4d1 10295
p 3c1 440 2ca3
Q 2d55
q 51b 563 566
R 1a6 13a1 13d2 1587 a4e3 104b4 16f35
r 433 493 1d26 2c85 ab47 ab81
S 405 54f 13d5 13da a4e2 10296 10420 16f3a
s 1bd 455 abaa 10448 118c1
T 3a4 422 4ac 13a2 2ca6 a4d4 10297 102b1 10315 118bc 16f0a
U 244 54d 1200 13cc 144c a4f4 104ce 118b8 16f42
u 3c5 57d 1d7e a79f ab9c 104f6 118d8
V 474 667 6f7 13d9 142f 2d38 a4e6 a6df 1051d 118a0 16f08
v 3bd 475 5d8 aba9 11706 118c0
W 51c 13b3 13d4 a4ea 118e6 118ef
w 461 51d 561 a761 ab83 114c5 1170a 1170e 1170f
X 3a7 425 4b2 16b7 2cac 2d5d a4eb a7b3 10290 102b4 10317 10322 10527 118ec
x 445 1541 157d
Y 3a5 423 4ae 4b0 13a9 13bd 2ca8 a4ec 102b2 118a4 16f43
y 263 3b3 443 4af 4b1 10e7 118dc
Z 396 13c3 a4dc 102f5 118a9 118e5
z ab93 118c4
"""

# Letters that pass for a Latin one in running text, where Unicode's list has no such pair.
_OURS = """
A 394 39b
b 3b2 432 44a 44c 42a 42c
c 3c2
d 3b4 434
E 39e 3a3 404 417 42d
e 3b5 437 44d 454
h 43d
j 575
k 3ba 43a
m 43c
N 3a0 418 41f
n 3c0 438 43f
o 3d9
R 42f
r 44f
t 3c4 442
u 3bc 446
W 428 429
w 3c9 448 449
x 3c7 436
"""

CONFUSABLES: dict[str, str] = {
    chr(int(code, 16)): letter
    for letter, *codes in map(str.split, filter(None, (_UNICODE + _OURS).splitlines()))
    for code in codes
}
"""From a look-alike to the Latin letter, in the same letter case where the look-alike has one."""
