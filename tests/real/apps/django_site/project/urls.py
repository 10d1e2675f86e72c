from django.contrib import admin
from django.urls import path
from notes import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("notes/", views.notes, name="notes"),
    path("upload/", views.upload, name="upload"),
    path("download/<str:name>", views.download, name="download"),
    path("visits/", views.visits),
    path("stream/", views.stream),
    path("slow/<int:number>/", views.slow),
    path("fails/", views.fails),
]
