"""Edit a portrait: add glasses and a smile, change both, and remove them."""

from sega_session import EditSession, load_avatars

session = EditSession(load_avatars(), "a portrait of a person", seed=33, guidance_scale=5)
session.render().image.save("base.png")

session.add("glasses", scale=4, threshold=0.95)
session.add("smile", scale=4, threshold=0.95)
session.render().image.save("glasses_and_smile.png")

session.reweight("glasses", scale=7)  # evaluates only what this changes
session.update("smile", scale=6, inverted=True)  # steers away from a smile
session.render().image.save("stronger_glasses_no_smile.png")

session.remove("glasses")
session.remove("smile")
print(session.render().evaluations)  # 0: this state was rendered before
