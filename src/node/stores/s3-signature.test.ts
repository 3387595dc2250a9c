// The examples of AWS's own page on signatures, with their signatures.
import { describe, expect, it } from 'vitest'
import { signRequest, type UnsignedRequest } from './s3-signature.ts'

const credentials = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
}
const host = 'https://examplebucket.s3.amazonaws.com'
const signatureOf = (given: Partial<UnsignedRequest> & { readonly path: string }): string => {
  const { path, ...rest } = given
  const request = { method: 'GET', headers: {}, body: new Uint8Array(0), ...rest }
  const url = new URL(host + path)
  const now = new Date('2013-05-24T00:00:00Z')
  const { authorization } = signRequest({ ...request, url }, credentials, 'us-east-1', now)
  return authorization!.split('Signature=')[1]!
}

describe('signatures of requests to S3', () => {
  it('are those of the documentation', () => {
    expect(signatureOf({ path: '/test.txt', headers: { range: 'bytes=0-9' } })).toBe(
      'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    )
    expect(
      signatureOf({
        method: 'PUT',
        path: '/test%24file.text',
        headers: {
          date: 'Fri, 24 May 2013 00:00:00 GMT',
          'x-amz-storage-class': 'REDUCED_REDUNDANCY',
        },
        body: new TextEncoder().encode('Welcome to Amazon S3.'),
      }),
    ).toBe('98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd')
    expect(signatureOf({ path: '/?lifecycle' })).toBe(
      'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
    )
    expect(signatureOf({ path: '/?max-keys=2&prefix=J' })).toBe(
      '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    )
  })
  it('carry a session token', () => {
    const url = new URL(`${host}/x`)
    const request = { method: 'GET', url, headers: {}, body: new Uint8Array(0) }
    const temporary = { ...credentials, sessionToken: 'token' }
    const headers = signRequest(request, temporary, 'us-east-1', new Date(0))
    expect(headers['x-amz-security-token']).toBe('token')
    expect(headers['authorization']).toContain('x-amz-date;x-amz-security-token,')
    expect(headers['host']).toBeUndefined()
  })
})
