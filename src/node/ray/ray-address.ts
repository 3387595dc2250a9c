// The address of a Ray cluster: `ray://host:8265` is the head's dashboard, which accepts jobs.
// Anyone who can reach it can run code there, so a head on another machine must require a token.

import { OptionError } from '../../base/errors.ts'

export interface RayAddress {
  /** Of the dashboard: `http://host:8265`. */
  readonly url: string
  readonly token: string | undefined
  /** Whether the head is this machine. */
  readonly isLocal: boolean
}

const usualPort = '8265'
const localHosts = new Set(['localhost', '127.0.0.1', '[::1]'])

/** Throws OptionError for an invalid address, and for a head on another machine without a token. */
export function parseRayAddress(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
): RayAddress {
  const [, scheme, rest] = /^(ray|rays):\/\/(.+)$/.exec(text) ?? []
  const url = rest === undefined ? undefined : `${scheme === 'rays' ? 'https' : 'http'}://${rest}`
  if (url === undefined || !URL.canParse(url) || new URL(url).pathname !== '/')
    throw new OptionError(
      `on: got ${JSON.stringify(text)}, expected the address of a Ray head such as ray://127.0.0.1:8265 (rays:// with TLS).`,
    )
  const { protocol, hostname, port } = new URL(url)
  const token = environment['RAY_AUTH_TOKEN'] || undefined
  const isLocal = localHosts.has(hostname)
  if (!isLocal && token === undefined)
    throw new OptionError(
      `on: ${hostname} is not this machine, and there is no token: a head without one runs what anybody sends. Start Ray with RAY_AUTH_MODE=token, and put its token into RAY_AUTH_TOKEN.`,
    )
  return { url: `${protocol}//${hostname}:${port || usualPort}`, token, isLocal }
}
