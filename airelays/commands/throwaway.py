"""A key and a certificate for `doctor --self-test`, worth nothing to anybody. Layer: commands.

The key is no secret: it is published with the program, like that of a test suite. It proves nothing but that TLS works
in this copy of the program. Only the self-test uses it, between its own two ends on loopback and for as long as
it runs; nothing else ever trusts the certificate, which names localhost alone. Python's standard library cannot
make certificates, which is why there is one here. It is valid from 2000, so that a wrong clock does not matter.
"""

from __future__ import annotations

KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgpPYKYihX/3ZCcYvJ
OZagumRm3FW7ZbXycBA8t8+NwjqhRANCAAT46pVGYCilJiIf/zSwYsB9rYoHaoxQ
snlr5o2/hXCKMfZU0Pzvgo9nrj0kESLIF4bA7xqptK+K1OP9jMe2LZ8r
-----END PRIVATE KEY-----
"""

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIICGDCCAb2gAwIBAgIUI7EWFAF5CSUTmJrkNVJmanUDkV8wCgYIKoZIzj0EAwIw
QDEqMCgGA1UECgwhQUlSZWxheXMgc2VsZi10ZXN0LCB3b3J0aCBub3RoaW5nMRIw
EAYDVQQDDAlsb2NhbGhvc3QwIBcNMDAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAw
MDBaMEAxKjAoBgNVBAoMIUFJUmVsYXlzIHNlbGYtdGVzdCwgd29ydGggbm90aGlu
ZzESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
+OqVRmAopSYiH/80sGLAfa2KB2qMULJ5a+aNv4VwijH2VND874KPZ649JBEiyBeG
wO8aqbSvitTj/YzHti2fK6OBkjCBjzAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8A
AAEwDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMCB4AwEwYDVR0lBAwwCgYIKwYB
BQUHAwEwHQYDVR0OBBYEFOvbjTLQuH2VPmWo+HjqxDeQO+XuMB8GA1UdIwQYMBaA
FOvbjTLQuH2VPmWo+HjqxDeQO+XuMAoGCCqGSM49BAMCA0kAMEYCIQD+62ADqWAI
f4RW68KUGZW1Jc0Wl6AOG933ozwruPzm1AIhAPdKK/lyT9QxtPAlTg8K5kLMHV15
wUKMB6rZwxzKUBXS
-----END CERTIFICATE-----
"""
