import { describe, expect, it } from 'vitest'
import { FormatError, NumericError, OptionError } from '../../base/errors.ts'
import { f32 } from '../../base/tensor.ts'
import { encodeState, stateForms, decodeTensors } from './state-image.ts'
import { measureStateError, createTestState } from './testing.ts'
import type { UserState } from './user-state.ts'

const throughForm = (state: UserState, form: (typeof stateForms)[number]): UserState => ({
  ...state,
  tensors: decodeTensors(encodeState(state, form), 'memory'),
})

describe('the image of a state', () => {
  it('gives f32 back bit for bit, and every type that is no f32 matrix in every form', () => {
    const state = createTestState(3)
    expect(throughForm(state, 'f32')).toEqual(state)
    for (const form of stateForms) {
      const back = throughForm(state, form)
      for (const name of ['bias', 'memory.ids', 'second.head.A'])
        expect(back.tensors.get(name)).toEqual(state.tensors.get(name))
      expect([...back.tensors.keys()].sort()).toEqual([...state.tensors.keys()].sort())
    }
  })
  it.each([
    ['f16', 0.002, 0.5],
    ['int8', 0.03, 0.28],
    ['int4', 0.7, 0.16],
  ] as const)(
    'keeps matrices in %s within %f of their size, in %f of the bytes',
    (form, error, share) => {
      const state = {
        tensors: new Map([['A', createTestState(5, 2048).tensors.get('head.A')!]]),
        header: {},
      }
      const measured = measureStateError('A', state, throughForm(state, form))
      expect(measured).toBeGreaterThan(0)
      expect(measured).toBeLessThan(error)
      expect(encodeState(state, form).bytes.length).toBeLessThanOrEqual(
        share * encodeState(state, 'f32').bytes.length,
      )
    },
  )
  it('keeps f32 where f16 would make infinity', () => {
    const state = {
      tensors: new Map([['A', f32([2, 32], new Float32Array(64).fill(1e5))]]),
      header: {},
    }
    expect(throughForm(state, 'f16')).toEqual(state)
  })
  it('contains no tensors, empty ones and odd sizes', () => {
    const state = {
      tensors: new Map([
        ['none', f32([0, 5])],
        ['odd', f32([5, 13], new Float32Array(65).fill(0.5))],
      ]),
      header: {},
    }
    for (const form of stateForms)
      expect(throughForm(state, form).tensors.get('odd')!.data.length).toBe(65)
    expect(throughForm({ tensors: new Map(), header: {} }, 'int4').tensors.size).toBe(0)
  })
  it('refuses NaN, infinity, and headers that JSON would change, by name', () => {
    const bad = (value: number): UserState => ({
      tensors: new Map([
        ['fine', f32([1], [1])],
        ['head.A', f32([2], [1, value])],
      ]),
      header: {},
    })
    for (const value of [NaN, Infinity, -Infinity])
      expect(() => encodeState(bad(value), 'f32')).toThrow(/"head\.A"/)
    expect(() => encodeState(bad(NaN), 'f32')).toThrow(NumericError)
    const header = (value: unknown) => () =>
      encodeState(
        { tensors: new Map(), header: { inner: [1, value] } as UserState['header'] },
        'f32',
      )
    for (const value of [NaN, undefined, () => 1, new Date(0), 1n])
      expect(header(value)).toThrow(OptionError)
    expect(header(NaN)).toThrow('header.inner.1 is NaN')
  })
  it('names every place that does not fit its bytes', () => {
    const place = { name: 'A', shape: [2, 4], stored: 'f32', offset: 0 } as const
    const read = (...places: Parameters<typeof decodeTensors>[0]['places']) =>
      decodeTensors({ bytes: new Uint8Array(32), places }, 'file')
    expect(read(place).size).toBe(1)
    expect(() =>
      read({ ...place, offset: 8 }, { ...place, name: 'B', shape: [2 ** 30, 2 ** 30] }),
    ).toThrow(/"A".*\n.*"B"/)
    expect(() => read({ ...place, offset: 4 })).toThrow(FormatError)
    expect(() => read({ ...place, stored: 'toString' as 'f32' })).toThrow(
      'type "toString" is unknown',
    )
    expect(() => read(place, place)).toThrow('occurs twice')
    expect(() => read({ ...place, shape: [8, 8], stored: 'int8' })).toThrow(FormatError)
  })
})
