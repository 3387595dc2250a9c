// Signs requests to S3 and compatible services: AWS Signature Version 4 with the header
// Authorization (docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html). Pure: time
// and keys are arguments.

import { createHash, createHmac } from 'node:crypto'

export interface S3Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
}

export interface UnsignedRequest {
  readonly method: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

const hashHex = (data: string | Uint8Array): string =>
  createHash('sha256').update(data).digest('hex')
const sign = (key: string | Buffer, text: string): Buffer =>
  createHmac('sha256', key).update(text).digest()

/** As S3 requires: everything except A–Z a–z 0–9 - . _ ~ is written as %XX. */
export const encodePart = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()*]/g,
    (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`,
  )

/** '20130524T000000Z' */
const formatTime = (date: Date): string => date.toISOString().replace(/[-:]|\.\d{3}/g, '')

/** The headers of the request with its signature among them. `url.pathname` is encoded already. */
export function signRequest(
  { method, url, headers, body }: UnsignedRequest,
  { accessKeyId, secretAccessKey, sessionToken }: S3Credentials,
  region: string,
  now: Date,
): Record<string, string> {
  const time = formatTime(now)
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`
  const bodyHash = hashHex(body)
  const all: Record<string, string> = Object.assign({}, headers, {
    host: url.host,
    'x-amz-content-sha256': bodyHash,
    'x-amz-date': time,
    ...(sessionToken !== undefined && { 'x-amz-security-token': sessionToken }),
  })
  const names = Object.keys(all).sort()
  const query = [...url.searchParams]
    .map(([name, value]) => `${encodePart(name)}=${encodePart(value)}`)
    .sort()
    .join('&')
  const canonical = [
    method,
    url.pathname,
    query,
    ...names.map((name) => `${name}:${all[name]!.trim()}`),
    '',
    names.join(';'),
    bodyHash,
  ].join('\n')
  const text = ['AWS4-HMAC-SHA256', time, scope, hashHex(canonical)].join('\n')
  const dayKey = sign(`AWS4${secretAccessKey}`, time.slice(0, 8))
  const key = sign(sign(sign(dayKey, region), 's3'), 'aws4_request')
  const signature = createHmac('sha256', key).update(text).digest('hex')
  const { host: _host, ...sent } = all
  return Object.assign(sent, {
    authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope},SignedHeaders=${names.join(';')},Signature=${signature}`,
  })
}
