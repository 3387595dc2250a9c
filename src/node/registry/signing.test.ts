// Signatures of files: those of other tools and ours verify, and every change is detected.

import { execFileSync } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FormatError, OptionError, SignatureError, UnsupportedError } from '../../base/errors.ts'
import { parseBundle, signResources } from '../../registry/signing/bundle.ts'
import {
  createKeyPair,
  decodeSignature,
  encodeSignature,
  readSigningKey,
  readVerifyingKey,
} from '../../registry/signing/ecdsa.ts'
import {
  compareByCodePoint,
  computeRootDigest,
  findPathProblem,
  listResources,
} from '../../registry/signing/resources.ts'
import { verifyFiles } from '../../registry/signing/verify.ts'
import { listFiles } from '../files/list-files.ts'

const golden = new URL('../../../test/golden/signing/', import.meta.url).pathname
const readGolden = (name: string): Promise<string> => readFile(join(golden, name), 'utf8')

let folder: string
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'graft-signing-'))))
afterAll(() => rm(folder, { recursive: true }))

let count = 0
/** A copy of Python's model, to be changed. */
async function copyModel(): Promise<string> {
  const copy = join(folder, `model-${count++}`)
  await cp(join(golden, 'python/model'), copy, { recursive: true })
  return copy
}

async function signFolder(path: string): Promise<{ bundle: string; publicPem: string }> {
  const { privatePem, publicPem } = await createKeyPair()
  const key = await readSigningKey(privatePem)
  const resources = await listResources(await listFiles(path))
  return { bundle: await signResources(resources, key, { name: 'model' }), publicPem }
}

describe('the specification’s test vectors', () => {
  it('that are valid and by a key are read, with the root digest that they state', async () => {
    const bundle = await parseBundle(await readGolden('valid-key.json'), 'key')
    expect(bundle.rootDigest).toBe(
      '92745110b1ab4368471cbe31664e10174e954b113a3df333db860317b2c6dec4',
    )
    expect(bundle.resources.map(({ name }) => name)).toEqual(['signme-1', 'signme-2'])
    expect(bundle.signature).toHaveLength(102)
  })

  it.each(['certificate', 'sigstore'])('that are by a %s are refused by name', async (kind) => {
    const reading = parseBundle(await readGolden(`valid-${kind}.json`), kind)
    await expect(reading).rejects.toThrow(UnsupportedError)
    await expect(reading).rejects.toThrow(/is signed by a certificate/)
  })

  it.each([
    ['empty', /is not JSON/],
    ['missing-envelope', /dsseEnvelope is missing/],
    ['missing-tlog-entries', /is signed by a certificate/],
    ['missing-verification-material', /verificationMaterial is missing/],
  ])('that are invalid are refused: %s', async (name, message) => {
    await expect(parseBundle(await readGolden(`invalid-${name}.json`), name)).rejects.toThrow(
      message,
    )
  })

  it('with another predicate are refused', async () => {
    const text = await readGolden('invalid-payload-wrong-predicate.json')
    await expect(parseBundle(text, 'x')).rejects.toThrow(/got a statement of type/)
  })
})

describe('a signature of Python’s model-signing', () => {
  it('is verified, and its key is named as ours would be', async () => {
    const key = await readVerifyingKey(await readGolden('python/public.pem'))
    const bundle = await parseBundle(await readGolden('python/signature.json'), 'python')
    expect(bundle.hint).toBe(key.hint)
    await verifyFiles(bundle, [key], await listFiles(join(golden, 'python/model')))
  })

  const python = process.env['GRAFT_PYTHON_SIGNING'] ?? ''
  it.skipIf(!existsSync(python))(
    `is made of ours: Python verifies it${existsSync(python) ? '' : ' [skip: GRAFT_PYTHON_SIGNING names no Python]'}`,
    async () => {
      const model = await copyModel()
      const { bundle, publicPem } = await signFolder(model)
      await writeFile(join(folder, 'ours.json'), bundle)
      await writeFile(join(folder, 'ours.pem'), publicPem)
      const verify = () =>
        execFileSync(
          python,
          ['-m', 'model_signing', 'verify', 'key', '--public_key', join(folder, 'ours.pem')].concat(
            ['--signature', join(folder, 'ours.json'), model],
          ),
          { stdio: 'pipe' },
        )
      verify()
      await writeFile(join(model, 'a.txt'), 'changed')
      expect(verify).toThrow(/Command failed/)
    },
  )
})

describe('files that were signed', () => {
  it('are verified; each change is found by name', async () => {
    const model = await copyModel()
    const { bundle: text, publicPem } = await signFolder(model)
    const bundle = await parseBundle(text, 'ours')
    const key = await readVerifyingKey(publicPem)
    const verify = async () => verifyFiles(bundle, [key], await listFiles(model))
    await verify()
    await writeFile(join(model, '.gitattributes'), '') // git's own never count
    await verify()
    await writeFile(join(model, 'a.txt'), 'changed')
    await writeFile(join(model, 'more.txt'), 'added')
    await rm(join(model, 'sub/b.bin'))
    const failing = verify()
    await expect(failing).rejects.toThrow(SignatureError)
    await expect(failing).rejects.toThrow(/"a\.txt": has sha256/)
    await expect(failing).rejects.toThrow(/"more\.txt": was not signed/)
    await expect(failing).rejects.toThrow(/"sub\/b\.bin": was signed, and is missing/)
  })

  it('do not count by another key, nor with a changed payload', async () => {
    const model = await copyModel()
    const { bundle: text, publicPem } = await signFolder(model)
    const other = await readVerifyingKey((await createKeyPair()).publicPem)
    const files = await listFiles(model)
    const bundle = await parseBundle(text, 'ours')
    await expect(verifyFiles(bundle, [other], files)).rejects.toThrow(/not by a trusted key/)
    await expect(verifyFiles(bundle, [], files)).rejects.toThrow(/trusted are none/)
    const forged = JSON.parse(text) as { dsseEnvelope: { payload: string } }
    const payload = atob(forged.dsseEnvelope.payload).replace('"model"', '"other"')
    forged.dsseEnvelope.payload = btoa(payload)
    const changed = await parseBundle(JSON.stringify(forged), 'forged')
    const key = await readVerifyingKey(publicPem)
    await expect(verifyFiles(changed, [key], files)).rejects.toThrow(SignatureError)
  })

  it('may not be in the folder without being signed', async () => {
    const model = await copyModel()
    const { privatePem, publicPem } = await createKeyPair()
    const ignored = ['sub']
    const resources = await listResources(await listFiles(model), ignored)
    const signing = await readSigningKey(privatePem)
    const text = await signResources(resources, signing, { name: 'model', ignored })
    const key = await readVerifyingKey(publicPem)
    const verifying = verifyFiles(await parseBundle(text, 'x'), [key], await listFiles(model))
    await expect(verifying).rejects.toThrow(
      /"sub\/b\.bin": was not signed \(the signer left it out\)/,
    )
  })

  it('are no links', async () => {
    const model = await copyModel()
    await symlink('/etc/hostname', join(model, 'link'))
    await expect(listFiles(model)).rejects.toThrow(/"link" is a symbolic link/)
  })

  it('have canonical paths, in the order of code points', async () => {
    for (const path of ['/a', 'a/../b', './a', 'a//b', 'a/', 'C:\\x', 'a\\b', 'a\0', '\ud800'])
      expect([path, findPathProblem(path)]).not.toEqual([path, undefined])
    expect(findPathProblem('ordner/gewichte-ü.bin')).toBeUndefined()
    expect(['\uffff', '😀', 'a', 'B'].toSorted(compareByCodePoint)).toEqual([
      'B',
      'a',
      '\uffff',
      '😀',
    ])
    await expect(listResources([])).rejects.toThrow(FormatError)
    await expect(
      listResources([{ path: '../x', sizeBytes: 0, hash: async () => '' }]),
    ).rejects.toThrow(/leaves the folder/)
  })

  it('have one root digest, whatever their order on disk', async () => {
    const resources = await listResources(await listFiles(join(golden, 'python/model')))
    const reversed = await listResources(
      (await listFiles(join(golden, 'python/model'))).toReversed(),
    )
    expect(await computeRootDigest(resources)).toBe(
      'eeee7bf4793ec9e141e7cf857408627afb30be39313448a6427e773afd2e8da9',
    )
    expect(reversed).toEqual(resources)
  })
})

describe('keys', () => {
  it('in another form are refused with the command that converts them', async () => {
    const sec1 = '-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n'
    await expect(readSigningKey(sec1, 'key.pem')).rejects.toThrow(/openssl pkcs8 -topk8/)
    await expect(readVerifyingKey('nonsense', 'pub.pem')).rejects.toThrow(OptionError)
    const { privatePem } = await createKeyPair()
    await expect(readVerifyingKey(privatePem, 'pub.pem')).rejects.toThrow(/a "PUBLIC KEY"/)
    const ed25519 =
      '-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n'
    await expect(readVerifyingKey(ed25519, 'ed.pem')).rejects.toThrow(/on P-256, P-384, P-521/)
  })

  it('write signatures in DER and read them back; invalid ones are refused', () => {
    fc.assert(
      fc.property(
        fc
          .constantFrom(32, 48, 66)
          .chain((size) => fc.uint8Array({ minLength: 2 * size, maxLength: 2 * size })),
        (raw) => {
          const der = encodeSignature(raw)
          expect(decodeSignature(der, raw.length / 2)).toEqual(raw)
          for (let length = 0; length < der.length; length++)
            expect(decodeSignature(der.subarray(0, length), raw.length / 2)).toBeUndefined()
        },
      ),
      { numRuns: 50 },
    )
  })
})
