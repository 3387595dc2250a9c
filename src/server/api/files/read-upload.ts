// Reads an uploaded file: a body of multipart/form-data with a size limit.

import { describeUnknownOption } from '../../../base/schema.ts'
import { RequestError } from '../../request-error.ts'
import type { ServerContext } from '../../route.ts'
import { refuseLength } from '../../read-text.ts'
import { type FilePurpose, uploadPurposes } from './file-store.ts'

export interface Upload {
  readonly name: string
  readonly purpose: FilePurpose
  readonly content: Blob
  /** Seconds after which it is removed; undefined: never. */
  readonly lifetimeSeconds: number | undefined
}

const anchorName = 'expires_after[anchor]'
const secondsName = 'expires_after[seconds]'
const fieldNames = ['file', 'purpose', anchorName, secondsName]

/** Bytes of boundaries, names and short fields, besides the file itself. */
const envelopeBytes = 16_384

/** Throws RequestError: 413 if the file is too long, 400 for everything else. */
export async function readUpload(context: ServerContext, maxFileBytes: number): Promise<Upload> {
  const form = await readForm(context, maxFileBytes + envelopeBytes)
  const given = new Map<string, string | File>()
  for (const [name, value] of form.entries()) {
    if (!fieldNames.includes(name)) throw refuse(name, describeUnknownOption(name, fieldNames))
    if (given.has(name)) throw refuse(name, `${name} is given twice`)
    given.set(name, value)
  }
  const file = given.get('file')
  if (file === undefined) throw refuse('file', 'file is missing')
  if (typeof file === 'string') throw refuse('file', 'file: got a string, expected a file')
  if (file.size > maxFileBytes) throw refuseLength(file.size, maxFileBytes)
  if (file.size === 0) throw refuse('file', 'file: it is empty')
  return {
    name: readName(file.name),
    purpose: readPurpose(given.get('purpose')),
    content: file,
    lifetimeSeconds: readLifetime(given.get(anchorName), given.get(secondsName)),
  }
}

const refuse = (param: string, problem: string): RequestError =>
  new RequestError(`${problem}.`.slice(0, 1000), {
    param: param.slice(0, 100),
    code: 'invalid_value',
  })

async function readForm({ req }: ServerContext, maxBytes: number): Promise<FormData> {
  const type = req.header('content-type') ?? ''
  if (!/^multipart\/form-data\b/i.test(type))
    throw new RequestError(
      `The body is ${type === '' ? 'of no content type' : JSON.stringify(type.slice(0, 100))}, expected multipart/form-data with file and purpose.`,
      { code: 'invalid_form' },
    )
  const declared = Number(req.header('content-length') ?? 0)
  if (declared > maxBytes) throw refuseLength(declared, maxBytes)
  const { body } = req.raw
  if (body === null) throw refuse('file', 'file is missing')
  let tooLong: RequestError | undefined
  let bytes = 0
  const bounded = body.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        bytes += chunk.length
        if (bytes > maxBytes) throw (tooLong = refuseLength(bytes, maxBytes))
        controller.enqueue(chunk)
      },
    }),
  )
  try {
    return await new Response(bounded, { headers: { 'content-type': type } }).formData()
  } catch (cause) {
    if (tooLong) throw tooLong
    const fields = { code: 'invalid_form' }
    throw new RequestError('The body is not complete multipart/form-data.', fields, { cause })
  }
}

/** The last part of a name, because some clients send a path. */
function readName(given: string): string {
  const name = given.split(/[\\/]/).at(-1) ?? ''
  if (name === '' || name.length > 255 || hasControls(name))
    throw refuse('file', 'file: its name must have 1 to 255 characters without control characters')
  return name.toWellFormed()
}

const hasControls = (text: string): boolean => /\p{Cc}/u.test(text)

function readPurpose(given: string | File | undefined): FilePurpose {
  const purpose = uploadPurposes.find((one) => one === given)
  if (purpose !== undefined) return purpose
  const expected = `expected ${uploadPurposes.map((one) => JSON.stringify(one)).join(' or ')}`
  if (given === undefined) throw refuse('purpose', `purpose is missing, ${expected}`)
  const got = typeof given === 'string' ? JSON.stringify(given.slice(0, 100)) : 'a file'
  throw refuse('purpose', `purpose: got ${got}, ${expected}`)
}

/** OpenAI's bounds: an hour to 30 days. */
const leastSeconds = 3600
const mostSeconds = 2_592_000

function readLifetime(
  anchor: string | File | undefined,
  text: string | File | undefined,
): number | undefined {
  if (anchor === undefined && text === undefined) return undefined
  if (anchor !== 'created_at')
    throw refuse('expires_after.anchor', 'expires_after.anchor: expected "created_at"')
  const seconds = Number(text)
  if (Number.isSafeInteger(seconds) && seconds >= leastSeconds && seconds <= mostSeconds)
    return seconds
  throw refuse(
    'expires_after.seconds',
    `expires_after.seconds: expected an integer from ${leastSeconds} to ${mostSeconds}`,
  )
}
