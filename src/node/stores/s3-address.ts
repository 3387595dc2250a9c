// Where an S3 bucket is, and its access keys: the address, AWS's variables, and AWS's own chain
// where its package is installed.

import { OptionError } from '../../base/errors.ts'
import { findErrorCode } from '../files/system-errors.ts'
import type { S3Credentials } from './s3-signature.ts'

export type S3Environment = Readonly<Record<string, string | undefined>>

export interface S3Address {
  readonly name: string
  /** With a "/" at its end. */
  readonly base: URL
  readonly prefix: string
  readonly region: string
}

/** s3://bucket/prefix?endpoint=…&region=…; the rest is AWS's own variables. */
export function parseAddress(address: string, environment: S3Environment): S3Address {
  const refuse = (problem: string): never => {
    throw new OptionError(
      `${address}: ${problem}; expected s3://bucket/prefix, with ?endpoint=https://… for other servers than AWS's.`,
    )
  }
  const url = URL.canParse(address) ? new URL(address) : refuse('cannot be read')
  const unknown = [...url.searchParams.keys()].find((key) => !['endpoint', 'region'].includes(key))
  if (unknown !== undefined) refuse(`has the part "${unknown}"`)
  const bucket = url.host
  if (!/^[a-z0-9][a-z0-9.-]{1,62}$/.test(bucket)) refuse('names no bucket')
  const prefix = decodeURIComponent(url.pathname.replace(/^\/+|\/+$/g, ''))
  const region =
    url.searchParams.get('region') ??
    environment['AWS_REGION'] ??
    environment['AWS_DEFAULT_REGION'] ??
    'us-east-1'
  const endpoint =
    url.searchParams.get('endpoint') ??
    environment['AWS_ENDPOINT_URL_S3'] ??
    environment['AWS_ENDPOINT_URL']
  if (endpoint !== undefined && !/^https?:\/\//.test(endpoint))
    refuse(`its endpoint is ${endpoint}`)
  const base = endpoint
    ? new URL(`${endpoint.replace(/\/+$/, '')}/${bucket}/`)
    : new URL(`https://${bucket}.s3.${region}.amazonaws.com/`)
  const name = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`
  return { name, base, prefix: prefix === '' ? '' : `${prefix}/`, region }
}

/** AWS's package, which supports profiles, roles and single sign-on. */
const credentialPackage = '@aws-sdk/credential-providers'

/** Keys of the environment, or of AWS's chain. Throws OptionError if there are none. */
export async function openCredentials(
  environment: S3Environment,
): Promise<() => Promise<S3Credentials>> {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = environment
  if (accessKeyId && secretAccessKey) {
    const keys = { accessKeyId, secretAccessKey, sessionToken: environment['AWS_SESSION_TOKEN'] }
    return () => Promise.resolve(keys)
  }
  try {
    const chain = (await import(credentialPackage)) as {
      fromNodeProviderChain(): () => Promise<S3Credentials>
    }
    return chain.fromNodeProviderChain()
  } catch (cause) {
    if (findErrorCode(cause) !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new OptionError(
      `S3 needs keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or install ${credentialPackage} in addition to Graft for profiles and roles.`,
      { cause },
    )
  }
}
