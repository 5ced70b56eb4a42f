import { assert, describe, it } from "@effect/vitest"
import * as Peer from "../../src/server/Peer.ts"

describe("fromAddress", () => {
  const cases: ReadonlyArray<readonly [string | undefined, Peer.Peer]> = [
    [undefined, { address: "local", key: "local", loopback: true, proxy: false }],
    ["127.0.0.1", { address: "127.0.0.1", key: "127.0.0.1", loopback: true, proxy: false }],
    ["127.8.9.10", { address: "127.8.9.10", key: "127.8.9.10", loopback: true, proxy: false }],
    ["::1", { address: "::1", key: "0:0:0:0::/64", loopback: true, proxy: false }],
    ["::ffff:127.0.0.1", { address: "127.0.0.1", key: "127.0.0.1", loopback: true, proxy: false }],
    ["::FFFF:192.0.2.7", { address: "192.0.2.7", key: "192.0.2.7", loopback: false, proxy: false }],
    ["192.0.2.7", { address: "192.0.2.7", key: "192.0.2.7", loopback: false, proxy: false }],
    ["128.0.0.1", { address: "128.0.0.1", key: "128.0.0.1", loopback: false, proxy: false }],
    [
      "2001:DB8:1:2:3:4:5:6",
      { address: "2001:db8:1:2:3:4:5:6", key: "2001:db8:1:2::/64", loopback: false, proxy: false }
    ],
    ["2001:db8::5:6", { address: "2001:db8::5:6", key: "2001:db8:0:0::/64", loopback: false, proxy: false }],
    [
      "2001:0db8:0001:0002::",
      { address: "2001:0db8:0001:0002::", key: "2001:db8:1:2::/64", loopback: false, proxy: false }
    ],
    ["fe80::1%eth0", { address: "fe80::1", key: "fe80:0:0:0::/64", loopback: false, proxy: false }],
    ["::2", { address: "::2", key: "0:0:0:0::/64", loopback: false, proxy: false }]
  ]
  for (const [address, peer] of cases) {
    it(`${address}`, () => assert.deepStrictEqual(Peer.fromAddress(address), peer))
  }

  it("counts one household once, and two apart", () => {
    const keyOf = (address: string) => Peer.fromAddress(address).key
    assert.strictEqual(keyOf("2001:db8:0:1::1"), keyOf("2001:db8:0:1:ffff:ffff:ffff:ffff"))
    assert.notStrictEqual(keyOf("2001:db8:0:1::1"), keyOf("2001:db8:0:2::1"))
  })
})

describe("isPlace", () => {
  const shown = [
    "loopback",
    "local",
    "2001:db8:1:2::/64",
    "0:0:0:0::/64",
    "127.0.0.1 by proxy",
    "0:0:0:0::/64 by proxy"
  ]
  for (const text of [...shown, "192.0.2.1", "2001:DB8::1", "fe80::1%eth0", "::ffff:192.0.2.1"]) {
    it(`'${text}' is`, () => assert.isTrue(Peer.isPlace(text)))
  }
  for (const text of ["", "bogus", "ada", "192.0.2", "192.0.2.256", "192.0.2.0/24", "192.0.2.1/64", "2001:db8::/32"]) {
    it(`'${text}' is not`, () => assert.isFalse(Peer.isPlace(text)))
  }
})

describe("isLoopback", () => {
  for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost"]) {
    it(`${host} is`, () => assert.isTrue(Peer.isLoopback(host)))
  }
  for (const host of [
    "0.0.0.0",
    "::",
    "",
    "1127.0.0.1",
    "127.0.0.1.example.org",
    "localhost.example.org",
    "10.0.0.1"
  ]) {
    it(`'${host}' is not`, () => assert.isFalse(Peer.isLoopback(host)))
  }
})

describe("trusting", () => {
  it("takes IPv4 that is written as IPv6 for what it is", () => {
    for (const text of ["::ffff:10.0.0.7", "::FFFF:10.0.0.0/104", "10.0.0.0/8"]) {
      assert.isTrue(Peer.isNetwork(text))
      assert.isTrue(Peer.trusting([text])("::ffff:10.0.0.7"))
      assert.isTrue(Peer.trusting([text])("10.0.0.7"))
      assert.isFalse(Peer.trusting([text])("11.0.0.7"))
    }
    assert.isFalse(Peer.isNetwork("::ffff:10.0.0.0/64"))
    assert.isFalse(Peer.trusting(["::/0"])("10.0.0.7"))
  })
})
