// vLLM's routes that load and unload adapters at run time. Answers are plain text, as vLLM's are.

import { createField, flag, withInfo } from '../../../base/schema.ts'
import { toRequestError } from '../../error-response.ts'
import { RequestError } from '../../request-error.ts'
import { defineRoute } from '../../route.ts'

const textField = createField<string>(
  'a string',
  { type: 'string', minLength: 1 },
  (value) => typeof value === 'string',
)
const nameField = withInfo(textField, { about: 'the name that requests give as model' })

const createTextResponse = (text: string): Response =>
  new Response(text, { headers: { 'content-type': 'text/plain; charset=utf-8' } })

/** vLLM's error texts, because clients of these routes look for them. */
function toLoraError(error: unknown, names: Readonly<Record<string, string>>): RequestError {
  const found = toRequestError(error)
  const { status, message, code, details, param } = found
  if (status >= 500) return found
  const type = status === 404 ? 'NotFoundError' : 'InvalidUserInput'
  const named = param === undefined ? undefined : (names[param] ?? param)
  return new RequestError(message, { status, type, code, details, param: named }, { cause: error })
}

const fieldNames = { name: 'lora_name', path: 'lora_path', model: 'lora_name' }

/** Both are checked here, because a missing one has vLLM's own type of error. */
function requireText(value: string | undefined, param: string): string {
  if (value !== undefined && value !== '') return value
  throw new RequestError(`${param} is missing or empty.`, {
    type: 'InvalidUserInput',
    param,
    code: 'invalid_value',
  })
}

export const loadLoraRoute = defineRoute({
  method: 'POST',
  path: '/v1/load_lora_adapter',
  scope: 'admin',
  tag: 'vLLM',
  summary: 'Loads an adapter under a name.',
  contentType: 'text/plain',
  body: {
    fields: {
      lora_name: nameField,
      lora_path: withInfo(textField, { about: 'a folder or file in an allowed place' }),
      load_inplace: flag({ about: 'takes the place of the adapter of that name' }),
    },
    required: [],
    needed: ['lora_name', 'lora_path'],
    refused: {
      base_model_name: { reason: 'there is one base here' },
      is_3d_lora_weight: { reason: 'there are no such weights here', neutral: [false] },
    },
  },
  async handle({ service, body }) {
    const name = requireText(body.lora_name, 'lora_name')
    const path = requireText(body.lora_path, 'lora_path')
    try {
      await service.loadExpert({ name, path, replace: body.load_inplace ?? false })
    } catch (error) {
      throw toLoraError(error, fieldNames)
    }
    return createTextResponse(`Success: LoRA adapter '${name}' added successfully.`)
  },
})

export const unloadLoraRoute = defineRoute({
  method: 'POST',
  path: '/v1/unload_lora_adapter',
  scope: 'admin',
  tag: 'vLLM',
  summary: 'Unloads an adapter, once its last answer has ended.',
  contentType: 'text/plain',
  body: {
    fields: { lora_name: withInfo(nameField, { about: 'the name it was loaded under' }) },
    required: [],
    needed: ['lora_name'],
    refused: { lora_int_id: { reason: 'adapters are unloaded by name' } },
  },
  async handle({ service, body }) {
    const name = requireText(body.lora_name, 'lora_name')
    try {
      await service.unloadExpert(name)
    } catch (error) {
      throw toLoraError(error, fieldNames)
    }
    return createTextResponse(`Success: LoRA adapter '${name}' removed successfully.`)
  },
})
