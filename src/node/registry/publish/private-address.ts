// Which addresses belong to this machine or a private network, to which a public server must not
// redirect a client.

import { BlockList, isIP } from 'node:net'

// https://www.iana.org/assignments/iana-ipv4-special-registry, and the same for IPv6
const ranges4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const
const ranges6 = [
  ['::', 127], // unspecified and loopback
  ['64:ff9b::', 96], // IPv4 behind a translator
  ['64:ff9b:1::', 48],
  ['2002::', 16], // 6to4, which contains an IPv4 address
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const

const privateList = new BlockList()
for (const [address, bits] of ranges4) privateList.addSubnet(address, bits, 'ipv4')
for (const [address, bits] of ranges6) privateList.addSubnet(address, bits, 'ipv6')

/** Whether an IP address, as text, is one of them; IPv4 within IPv6 counts as IPv4. */
export function isPrivateAddress(address: string): boolean {
  const plain = address.replace(/%.*$/, '')
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain) ?? []
  if (mapped !== undefined) return privateList.check(mapped, 'ipv4')
  if (/^::ffff:/i.test(plain)) return true // the same in hexadecimal
  return privateList.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4')
}
