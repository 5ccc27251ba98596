//! Puts a colour behind the transparency ("source over", on sRGB values as browsers do).

use crate::model::color::Rgba;
use crate::model::pixels::{Layout, Pixels};
use crate::pipeline::run::{RenderError, finish};

/// `a·b/255`, rounded.
const fn mul(a: u8, b: u8) -> u32 {
    let product = a as u32 * b as u32 + 128;
    (product + (product >> 8)) >> 8
}

/// The picture over a background. Opaque pictures pass untouched; an opaque background gives
/// RGB, a translucent one RGBA.
///
/// # Errors
/// [`RenderError::Step`], never in practice.
pub fn flatten(pixels: Pixels, background: Rgba) -> Result<Pixels, RenderError> {
    if pixels.layout() != Layout::Rgba {
        return Ok(pixels);
    }
    let size = pixels.size();
    let behind = [background.r, background.g, background.b];
    let (samples, _) = pixels.data().as_chunks::<4>();
    if background.a == 255 {
        let over = |[r, g, b, a]: &[u8; 4]| {
            let blend = |top: u8, under: u8| (mul(top, *a) + mul(under, 255 - a)).min(255) as u8;
            [blend(*r, behind[0]), blend(*g, behind[1]), blend(*b, behind[2])]
        };
        let data = samples.iter().flat_map(over).collect();
        return finish("flatten", size, Layout::Rgb, data);
    }
    let over = |[r, g, b, a]: &[u8; 4]| {
        // Weights of the two colours in units of 1/65025.
        let top = u32::from(*a) * 255;
        let under = u32::from(background.a) * (255 - u32::from(*a));
        let total = top + under;
        let blend = |colour: u8, behind: u8| match total {
            0 => 0,
            _ => ((u32::from(colour) * top + u32::from(behind) * under + total / 2) / total) as u8,
        };
        let alpha = ((total + 127) / 255) as u8;
        [blend(*r, behind[0]), blend(*g, behind[1]), blend(*b, behind[2]), alpha]
    };
    let data = samples.iter().flat_map(over).collect();
    finish("flatten", size, Layout::Rgba, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::geometry::Size;

    fn one(pixel: [u8; 4]) -> Pixels {
        Pixels::new(Size::new(1, 1), Layout::Rgba, pixel.to_vec()).unwrap()
    }

    #[test]
    fn nothing_shows_the_background_and_all_hides_it() {
        let red = Rgba { r: 255, g: 0, b: 0, a: 255 };
        assert_eq!(flatten(one([9, 9, 9, 0]), red).unwrap().data(), [255, 0, 0]);
        assert_eq!(flatten(one([9, 8, 7, 255]), red).unwrap().data(), [9, 8, 7]);
        assert_eq!(flatten(one([0, 0, 0, 128]), Rgba::WHITE).unwrap().data(), [127, 127, 127]);
    }

    #[test]
    fn a_translucent_background_leaves_alpha() {
        let half = Rgba { r: 255, g: 0, b: 0, a: 128 };
        assert_eq!(flatten(one([0, 0, 0, 0]), half).unwrap().data(), [255, 0, 0, 128]);
        assert_eq!(flatten(one([1, 2, 3, 255]), half).unwrap().data(), [1, 2, 3, 255]);
    }
}
